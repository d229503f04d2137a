"""JSON from strangers, read field by field: each has the type it must have, or the document is refused.

Runs in: everywhere. Nothing here raises anything but BadManifest, whatever the bytes are.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pyck_magic.model.errors import BadManifest

DOCUMENT_BYTES_MAX = 4 << 20  # as containers/image; distribution-spec asks registries to take no more
_WORD_LENGTH_MAX = 64
_KINDS = {str: "a string", list: "a list", dict: "an object", bool: "a boolean"}


class Fields:
    """One JSON object and where it was found, such as `manifest.layers[2]`. As in Go, null is as good as missing."""

    def __init__(self, values: dict[str, Any], place: str) -> None:
        self._values = values
        self.place = place

    @classmethod
    def of_document(cls, data: bytes, place: str) -> "Fields":
        """Parse a whole document, which must be one object of at most 4 MiB."""
        if len(data) > DOCUMENT_BYTES_MAX:
            raise BadManifest(f"the {place} is larger than 4 MiB", expected=f"at most {DOCUMENT_BYTES_MAX}", actual=len(data))
        try:
            values = json.loads(data.decode())  # given bytes, it would take other encodings too, and halves of characters
            if b"\\ud" in data.lower():
                json.dumps(values, ensure_ascii=False).encode()  # half a character would be a traceback wherever it is shown
        except (ValueError, RecursionError):
            raise BadManifest(f"the {place} is no JSON", expected="JSON", actual=ascii(data[:40].decode("latin-1"))) from None
        if not isinstance(values, dict):
            raise BadManifest(f"the {place} is no JSON object", expected="object", actual=type(values).__name__)
        return cls(values, place)

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A string, without NUL: what the kernel could take too."""
        return self._text(self._get(name, default), name)

    def word(self, name: str, default: str | None = None) -> str:
        """A short string of plain characters, fit to be shown and compared."""
        text = self.text(name, default)
        if len(text) > _WORD_LENGTH_MAX or not text.isascii() or not text.isprintable():
            raise self._wrong(name, "a plain word", text)
        return text

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; a lone string is a list of one, as Docker reads ENTRYPOINT and CMD."""
        value = self._get(name, [])
        given = [value] if isinstance(value, str) else self._as(list, value, name)
        return tuple(self._text(one, f"{name}[{at}]") for at, one in enumerate(given))

    def table(self, name: str) -> dict[str, str]:
        """An object whose values are strings."""
        given = self._as(dict, self._get(name, {}), name)
        return {self._text(key, name): self._text(value, name) for key, value in given.items()}

    def keys(self, name: str) -> tuple[str, ...]:
        """The names in an object whose values say nothing, as in `Volumes`."""
        return tuple(self._text(key, name) for key in self._as(dict, self._get(name, {}), name))

    def names(self) -> tuple[str, ...]:
        """The names of all fields."""
        return tuple(self._values)

    def number(self, name: str) -> int:
        """A whole number that fits a file size."""
        value = self._get(name, None)
        if type(value) is not int or not 0 <= value < 1 << 63:
            raise self._wrong(name, "a size", value)
        return value

    def flag(self, name: str) -> bool:
        """True or false; false if it is missing."""
        value: bool = self._as(bool, self._get(name, False), name)
        return value

    def moment(self, name: str) -> datetime | None:
        """An RFC 3339 time, in UTC; None if it is missing or Go's zero time."""
        text = self.text(name, "")
        try:
            when = datetime.fromisoformat(text) if text else None
            if when is None or when.year == 1:
                return None
            return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self._wrong(name, "a time", text) from None

    def inner(self, name: str) -> "Fields":
        """An object in this one; an empty one if it is missing."""
        return Fields(self._as(dict, self._get(name, {}), name), f"{self.place}.{name}")

    def each(self, name: str, *, needed: bool = False) -> Iterator["Fields"]:
        """The objects of a list. With `needed` the list must be there, though it may be empty."""
        for at, one in enumerate(self._as(list, self._get(name, None if needed else []), name)):
            yield Fields(self._as(dict, one, f"{name}[{at}]"), f"{self.place}.{name}[{at}]")

    def _get(self, name: str, default: object) -> Any:
        value = self._values.get(name)
        return default if value is None else value

    def _text(self, value: object, name: str) -> str:
        text: str = self._as(str, value, name)
        if "\0" in text:
            raise BadManifest(f"{self.place}.{name} contains a NUL character")
        return text

    def _as(self, kind: type, value: object, name: str) -> Any:
        if type(value) is not kind:
            raise self._wrong(name, _KINDS[kind], value)
        return value

    def _wrong(self, name: str, expected: str, value: object) -> BadManifest:
        actual = "missing" if value is None else ascii(value)[:60] if isinstance(value, str | int) else type(value).__name__
        return BadManifest(f"{self.place}.{name} is not {expected}: {actual}", expected=expected, actual=actual)
