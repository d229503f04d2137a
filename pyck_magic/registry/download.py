"""A blob on its way: continued where it broke off, as often as there is progress.

Runs in:    the notebook kernel, on threads that download.
"""

import re
from collections.abc import Callable
from typing import Protocol

import httpx

from pyck_magic.model.errors import RegistryError, RegistryUnreachable, WrongSize
from pyck_magic.model.manifest import Descriptor
from pyck_magic.registry.patience import Patience, TryAgain
from pyck_magic.registry.repository import Repository
from pyck_magic.registry.trust import shown
from pyck_magic.registry.wire import chunks

_PROGRESS_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)")


class Place(Protocol):
    """Where the bytes go. `offset` is how many are there."""

    @property
    def offset(self) -> int: ...

    def write(self, chunk: bytes) -> None: ...

    def restart(self) -> None: ...


def download(repository: Repository, descriptor: Descriptor, place: Place, note: Callable[[str], None] | None) -> None:
    """Append what is missing of a blob. What comes is not verified here, except for its length.

    Raises RegistryError when patience ends, WrongSize when the registry's copy has another length, and what
    `place.write` raises.
    """
    patience = Patience(note)
    furthest = place.offset
    while place.offset < descriptor.size:
        try:
            with repository.open_blob(descriptor.digest, place.offset) as answer:
                if _begins_where_we_ended(answer, place.offset, descriptor):
                    _append(answer, descriptor, place)
                else:
                    place.restart()
                    if answer.status_code == 200:
                        _append(answer, descriptor, place)
            if place.offset < descriptor.size:
                raise TryAgain(_short(answer, descriptor))
        except (TryAgain, RegistryUnreachable) as failure:
            if place.offset - furthest >= _PROGRESS_BYTES:
                patience.renew()
            furthest = max(furthest, place.offset)
            patience.wait(failure if isinstance(failure, TryAgain) else TryAgain(failure))


def _append(answer: httpx.Response, descriptor: Descriptor, place: Place) -> None:
    promised = answer.headers.get("content-length", "")
    if promised.isdigit() and place.offset + int(promised[:19]) != descriptor.size:
        raise _wrong_size(descriptor, place.offset + int(promised[:19]))
    for chunk in chunks(answer):
        if place.offset + len(chunk) > descriptor.size:
            raise _wrong_size(descriptor, "more")
        place.write(chunk)


def _begins_where_we_ended(answer: httpx.Response, offset: int, descriptor: Descriptor) -> bool:
    """Whether the body goes on at `offset`; not if the server knows no ranges (200), or answers them wrongly."""
    if answer.status_code == 200:
        return offset == 0
    said = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
    return answer.status_code == 206 and said is not None and int(said[1]) == offset and said[2] in ("*", str(descriptor.size))


def _wrong_size(descriptor: Descriptor, actual: object) -> WrongSize:
    return WrongSize(
        f"blob {descriptor.digest.short} has {actual} bytes instead of {descriptor.size}",
        expected=descriptor.size, actual=actual,
        hint="pull again; if it happens again, the registry or a mirror serves broken data",
    )  # fmt: skip


def _short(answer: httpx.Response, descriptor: Descriptor) -> RegistryError:
    return RegistryUnreachable(
        f"{answer.url.netloc.decode()}: the answer ended before blob {descriptor.digest.short} did", url=shown(answer.url),
        hint="what has been downloaded stays: pull again",
    )  # fmt: skip
