"""What may pass is tried again, after longer and longer pauses.

Runs in:    the notebook kernel, on worker threads.
"""

import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime

from pyck_magic.model.errors import RegistryError

_TRIES_MAX = 5
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0


class TryAgain(Exception):
    """A failure that may pass. `error` is what to raise when patience ends; `pause_s` what the registry asked for, if it did."""

    def __init__(self, error: RegistryError, pause_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause_s = pause_s


class Patience:
    """Waits between tries of one thing, and knows when it is enough. `note` is told why we wait."""

    def __init__(self, note: Callable[[str], None] | None = None) -> None:
        self._note = note
        self._tries = 0

    def renew(self) -> None:
        """There was progress: what follows is the first try again."""
        self._tries = 0

    def wait(self, again: TryAgain) -> None:
        """Sleep, or raise `again.error` after the fifth try or when the registry asks for more than a minute."""
        self._tries += 1
        pause_s = again.pause_s
        if pause_s is None:
            pause_s = _FIRST_PAUSE_S * 2 ** (self._tries - 1) * random.uniform(0.75, 1.25)
        if self._tries >= _TRIES_MAX or pause_s > _LONGEST_PAUSE_S:
            raise again.error from None
        if self._note:
            self._note(f"{again.error}; trying again in {pause_s:.1f} s")
        time.sleep(pause_s)


def retry_after(text: str | None) -> float | None:
    """Seconds from a Retry-After header (RFC 9110, 10.2.3: seconds or a date); None if it says nothing we understand."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
