"""See a started container through: its output into the cell, interrupts into the container.

Runs in: the notebook kernel, main thread.
"""

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from pyck_magic.magic.pump import Pump

if TYPE_CHECKING:
    from pyck_magic.engine import Running
    from pyck_magic.model.result import Result

_DRAIN_S = 0.05
_CLEAN_UP_S = 0.1


def follow(running: "Running", pump: Pump) -> "Result":
    """Pump until the container has ended; its result.

    An interrupt ends every process in it: SIGINT, 50 ms, SIGKILL; at a second one SIGKILL at once. Then KeyboardInterrupt
    goes on, with one line instead of our stack.
    """
    began = time.monotonic()
    try:
        pump.follow(running)
        result = running.wait()
        pump.close()
        running.gone()
        running.close()
        return result
    except KeyboardInterrupt as interrupt:
        how = _stop(running, pump)
        in_one_line(interrupt, f"stopped after {time.monotonic() - began:.1f} s ({how})")
        raise
    except BaseException:
        running.kill()
        running.close()
        raise


def in_one_line(interrupt: KeyboardInterrupt, words: str) -> None:
    """Have IPython show an interrupt as one line, unless it has its line already."""
    if not hasattr(interrupt, "_render_traceback_"):
        interrupt._render_traceback_ = lambda: [f"KeyboardInterrupt: {words}"]  # type: ignore[attr-defined]


def _stop(running: "Running", pump: Pump) -> str:
    try:
        how = running.interrupt()
    except KeyboardInterrupt:
        running.kill()
        how = "SIGKILL"
    with contextlib.suppress(KeyboardInterrupt):
        pump.drain(running, _DRAIN_S)
    with contextlib.suppress(KeyboardInterrupt):
        pump.close()
    # The kernel may need a while to take a PID namespace down. Nobody should wait for that at the prompt.
    reaper = threading.Thread(target=_reap, args=(running,), name="pyck-reaper", daemon=True)
    reaper.start()
    with contextlib.suppress(KeyboardInterrupt):
        reaper.join(_CLEAN_UP_S)
    return how


def _reap(running: "Running") -> None:
    """Hear the container's end, let its monitor clean up, and only then hang up."""
    with contextlib.suppress(Exception):
        running.wait(timeout_s=10)
        running.gone(10)
    running.close()
