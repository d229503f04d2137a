"""A streaming reader of tar archives: ustar, PAX, GNU long names, base-256 numbers, sparse files.

Runs in: the unpacker. Does no I/O of its own: bytes come from a function, entries go to whoever iterates.

Where readers differ we read as Docker does (Go's archive/tar), so that the tree is the one Docker would make: PAX sizes
win over the header's, links and directories have no content whatever their size says, global PAX headers are read and
not applied. Sources: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pyck_magic.model.errors import BadArchive
from pyck_magic.store import sparse

BLOCK = 512
_ZEROS = bytes(BLOCK)
# Headers that describe the next entry are held in memory; no honest one comes near this.
_EXTENSION_MAX = 1 << 20
_NAME_MAX = 4096
_ID_MAX = 2**32 - 2  # 2**32 - 1 means "unchanged" to chown(2)
_SIZE_MAX = 2**63 - 1

REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
_OLD_REGULAR, _CONTIGUOUS, _GNU_SPARSE = b"\0", b"7", b"S"
_GNU_LONG_NAME, _GNU_LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"x", b"g"
_HEADER_ONLY = frozenset((HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))
_XATTR = b"SCHILY.xattr."


@dataclass(slots=True)
class Entry:
    """One thing in an archive. `kind` is its type flag; `name` and `link` are raw bytes, not yet checked.

    `stored_bytes` follow in the archive; a sparse file is `size` long and has them at the places in `extents`.
    """

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    stored_bytes: int
    mtime_ns: int
    link: bytes
    major: int
    minor: int
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    extents: list[tuple[int, int]] | None = None


class Reader:
    """Iterate over the entries; `body()` gives the content of the last one. Raises BadArchive."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self._piece = memoryview(b"")
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        while True:
            pax: list[tuple[bytes, bytes]] = []
            long_name = long_link = b""
            while True:
                for _unread in self.body():
                    pass
                self._skip(self._padding)
                self._padding = 0
                header = self._header()
                if header is None:
                    if pax or long_name or long_link:
                        raise _broken("ends after a header that describes the next entry")
                    return
                kind = header[156:157]
                if kind == _GNU_LONG_NAME:
                    long_name = self._extension(header).split(b"\0", 1)[0]
                elif kind == _GNU_LONG_LINK:
                    long_link = self._extension(header).split(b"\0", 1)[0]
                elif kind == _PAX:
                    pax = _pax_records(self._extension(header))
                elif kind == _PAX_GLOBAL:
                    _pax_records(self._extension(header))
                else:
                    break
            yield self._entry(header, kind, pax, long_name, long_link)

    def body(self) -> Iterator[memoryview]:
        """What is left of the last entry's content, in pieces that are only good until the next one."""
        while self._left:
            if not self._piece:
                self._refill()
            part = self._piece[: self._left]
            self._piece = self._piece[len(part) :]
            self._left -= len(part)
            yield part

    def drain(self) -> None:
        """Read whatever follows the archive's end, so that it is hashed."""
        self._piece = memoryview(b"")
        while self._read():
            pass

    def _entry(self, header: bytes, kind: bytes, pax: list[tuple[bytes, bytes]], long_name: bytes, long_link: bytes) -> Entry:
        name = header[:100].split(b"\0", 1)[0]
        if header[257:263] == b"ustar\0" and header[345]:
            # The star archiver keeps two times behind a shorter prefix.
            prefix = header[345 : 476 if header[508:512] == b"tar\0" else 500].split(b"\0", 1)[0]
            name = prefix + b"/" + name
        name = long_name or name
        if kind == _OLD_REGULAR:
            kind = DIRECTORY if name.endswith(b"/") else REGULAR
        elif kind == _CONTIGUOUS:
            kind = REGULAR
        is_device = kind in (CHARACTER, BLOCK_DEVICE)
        entry = Entry(
            name, kind, _number(header[100:108]) & 0o7777, _number(header[108:116]), _number(header[116:124]),
            0, _number(header[124:136]), _number(header[136:148]) * 10**9, long_link or header[157:257].split(b"\0", 1)[0],
            _number(header[329:337]) if is_device else 0, _number(header[337:345]) if is_device else 0,
        )  # fmt: skip
        if pax:
            _apply(pax, entry)
        if kind in _HEADER_ONLY:
            entry.stored_bytes = 0
        if not 0 <= entry.stored_bytes <= _SIZE_MAX:
            raise _broken(f"holds an entry of {entry.stored_bytes} bytes")
        if not (0 <= entry.uid <= _ID_MAX and 0 <= entry.gid <= _ID_MAX):
            raise _broken(f"holds a file of user {entry.uid} and group {entry.gid}, which no system has")
        if len(entry.name) > _NAME_MAX or len(entry.link) > _NAME_MAX:
            raise _broken(f"holds a name of more than {_NAME_MAX} bytes")
        self._left = entry.size = entry.stored_bytes
        self._padding = -self._left % BLOCK
        if kind == _GNU_SPARSE or any(key.startswith(b"GNU.sparse.") for key, _value in pax):
            self._spread(entry, header, pax)
        return entry

    def _spread(self, entry: Entry, header: bytes, pax: list[tuple[bytes, bytes]]) -> None:
        """Find out where a sparse file's pieces belong, in whichever of the four ways this archive says it."""
        if entry.kind == _GNU_SPARSE:
            entry.kind = REGULAR
            self._left = 0
            entry.extents, entry.size = sparse.from_gnu_headers(header, self._take_block, _number)
            self._left = entry.stored_bytes
        elif entry.kind == REGULAR:
            found = sparse.from_pax(pax, self._take_of_body)
            if found is None:
                return
            entry.extents, entry.size, name = found
            entry.stored_bytes = self._left
            entry.name = name or entry.name
        else:
            return
        sparse.check(entry.extents, entry.size, entry.stored_bytes)

    def _header(self) -> bytes | None:
        """The next header block, its checksum verified; None at the end of the archive."""
        if not self._piece:
            self._piece = memoryview(self._read())
            if not self._piece:
                return None  # No end marker: Docker takes that for an end as well.
        header = self._take(BLOCK)
        if header == _ZEROS:
            if self._piece or self._more():
                second = self._take(BLOCK)
                if second != _ZEROS:
                    raise _broken("goes on after a single block of zeros")
            return None
        try:
            stated = int(header[148:156].strip(b" \0"), 8)
        except ValueError:
            raise _broken("holds a header that is none") from None
        unsigned = sum(header) - sum(header[148:156]) + 8 * 32
        if stated != unsigned and stated != unsigned - 256 * sum(byte > 127 for byte in header[:148] + header[156:]):
            raise _broken("holds a header with a wrong checksum")
        return header

    def _extension(self, header: bytes) -> bytes:
        size = _number(header[124:136])
        if not 0 <= size <= _EXTENSION_MAX:
            raise _broken(f"holds a header of {size} bytes (at most {_EXTENSION_MAX} are read)")
        content = self._take(size)
        self._skip(-size % BLOCK)
        return content

    def _take_block(self) -> bytes:
        return self._take(BLOCK)

    def _take_of_body(self, size: int) -> bytes:
        if size > self._left:
            raise _broken("holds a sparse file whose map is longer than the file")
        self._left -= size
        return self._take(size)

    def _take(self, size: int) -> bytes:
        if len(self._piece) >= size:
            taken = bytes(self._piece[:size])
            self._piece = self._piece[size:]
            return taken
        parts = bytearray()
        while len(parts) < size:
            if not self._piece:
                self._refill()
            part = self._piece[: size - len(parts)]
            self._piece = self._piece[len(part) :]
            parts += part
        return bytes(parts)

    def _skip(self, size: int) -> None:
        if size <= len(self._piece):
            self._piece = self._piece[size:]
        else:
            self._take(size)

    def _more(self) -> bool:
        self._piece = memoryview(self._read())
        return bool(self._piece)

    def _refill(self) -> None:
        if not self._more():
            raise _broken("ends in the middle")


def _number(text: bytes) -> int:
    """A number in a header: octal text, or base-256 when the first bit is set (GNU). Empty is zero."""
    if text[0] & 0x80:
        value = int.from_bytes(text, "big")
        bits = 8 * len(text)
        # The first bit only says that this is binary; the second one is the sign.
        return value - (1 << bits) if text[0] & 0x40 else value - (1 << (bits - 1))
    digits = text.split(b"\0", 1)[0].strip(b" ") if text[0] else text.strip(b" \0")
    if not digits:
        return 0
    if not digits.isdigit():
        raise _broken("holds a header with a number that is none")
    try:
        return int(digits, 8)
    except ValueError:
        raise _broken("holds a header with a number that is none") from None


def _pax_records(content: bytes) -> list[tuple[bytes, bytes]]:
    """`length key=value\\n`, again and again; the length counts itself."""
    records = []
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 8)
        digits = content[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        if not at < end <= len(content) or content[end - 1 : end] != b"\n":
            raise _broken("holds a PAX header with a wrong length")
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not key or not equals or b"\0" in key:
            raise _broken("holds a PAX header without a key")
        records.append((key, value))
        at = end
    return records


def _apply(pax: list[tuple[bytes, bytes]], entry: Entry) -> None:
    """Let PAX records have their say. An empty value means: as the header says."""
    for key, value in pax:
        if key.startswith(_XATTR):
            entry.xattrs[key[len(_XATTR) :]] = value
        elif not value:
            continue
        elif key in (b"path", b"linkpath"):
            if b"\0" in value:
                raise _broken("holds a name with a zero in it")
            if key == b"path":
                entry.name = value
            else:
                entry.link = value
        elif key == b"size":
            entry.stored_bytes = _decimal(value)
        elif key == b"uid":
            entry.uid = _decimal(value)
        elif key == b"gid":
            entry.gid = _decimal(value)
        elif key == b"mtime":
            entry.mtime_ns = _time_ns(value)


def _decimal(value: bytes) -> int:
    if len(value) > 20 or not value.removeprefix(b"-").isdigit():
        raise _broken("holds a PAX header with a number that is none")
    return int(value)


def _time_ns(value: bytes) -> int:
    """Seconds with any number of decimals, in nanoseconds."""
    whole, _point, fraction = value.partition(b".")
    if fraction and not fraction.isdigit():
        raise _broken("holds a PAX header with a time that is none")
    nanoseconds = int(fraction[:9].ljust(9, b"0")) if fraction else 0
    return _decimal(whole) * 10**9 + (-nanoseconds if whole.startswith(b"-") else nanoseconds)


def _broken(what: str) -> BadArchive:
    return BadArchive(f"a layer's archive {what}", hint="the image was pushed broken, or somebody tries something: do not use it")
