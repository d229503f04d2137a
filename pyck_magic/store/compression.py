"""From a layer's compressed bytes to its plain ones, a bounded piece at a time.

Runs in: the unpacker.
"""

from collections.abc import Callable
from typing import Any, Protocol

from isal import igzip_lib

from pyck_magic.model.errors import BadArchive, UnsupportedMedia

Read = Callable[[], bytes]

PIECE = 1 << 20
_FIRST_BITE = 1 << 12
# What the zstd tools themselves accept without being told otherwise (ZSTD_WINDOWLOG_LIMIT_DEFAULT).
_WINDOW_MAX = 1 << 27
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes((0x50 + n, 0x2A, 0x4D, 0x18)) for n in range(16))


class Plain(Protocol):
    """Plain bytes on demand: at most about PIECE of them, b"" at the end."""

    def read(self) -> bytes: ...


def opened(read: Read, media_type: str) -> Plain:
    """Look at the first bytes, and decompress as they say. `read` gives compressed bytes, b"" at the end.

    Raises UnsupportedMedia when the media type says something else than the bytes.
    """
    first = read()
    while 0 < len(first) < 4:
        more = read()
        if not more:
            break
        first += more
    found = compression_of(first)
    promised = promised_by(media_type)
    if promised is not None and promised != found:
        raise UnsupportedMedia(
            f"a layer is said to be {promised or 'an uncompressed tar'} but its bytes are {found or 'not compressed'}",
            expected=media_type,
            actual=found or "tar",
            hint="the image was pushed wrongly: ask its publisher",
        )
    source = _Pushed(first, read)
    match found:
        case "gzip":
            return Gunzip(source.read)
        case "zstd":
            return Unzstd(source)
        case _:
            return source


def compression_of(first: bytes) -> str:
    """`gzip`, `zstd` or `` by the magic number."""
    if first.startswith(_GZIP):
        return "gzip"
    return "zstd" if first.startswith((_ZSTD, *_ZSTD_SKIPPABLE)) else ""


def promised_by(media_type: str) -> str | None:
    """What a layer's media type says about its compression; None for one we do not know.

    OCI image-spec media-types.md (`.tar+gzip`), and Docker's manifest schema 2 (`.tar.gzip`).
    """
    for ending, compression in ((("+gzip", ".gzip"), "gzip"), (("+zstd", ".zstd"), "zstd"), ((".tar",), "")):
        if media_type.endswith(ending):
            return compression
    return None


class _Pushed:
    """A source whose first bytes have been looked at; also readable in the way zstandard asks for."""

    def __init__(self, first: bytes, read: Read) -> None:
        self._first = first
        self._read = read

    def read(self, _size: int = -1) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        return self._read()


class Gunzip:
    """gzip of one or many members (RFC 1952), checksums verified. Zeros after the last one are padding."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._member: Any = None
        self._data = b""
        self._at = 0
        self._bite = _FIRST_BITE

    def read(self) -> bytes:
        while True:
            if self._member is None and not self._begin_member():
                return b""
            plain = self._decompress()
            if self._member.eof:
                self._at -= len(self._member.unused_data)
                self._member = None
            if plain:
                return plain

    def _decompress(self) -> bytes:
        bite: bytes | memoryview = b""
        if self._member.needs_input:
            if self._at == len(self._data):
                self._data, self._at = self._read(), 0
                if not self._data:
                    raise BadArchive("a gzip layer ends in the middle", hint="the image was pushed broken")
            # Bites grow, so that a layer of very many small members does not copy its rest for every one of them.
            bite = memoryview(self._data)[self._at : self._at + self._bite]
            self._at += len(bite)
            self._bite = min(4 * self._bite, PIECE)
        try:
            return bytes(self._member.decompress(bite, PIECE))
        except igzip_lib.IsalError as error:  # type: ignore[misc]  # its stub forgets that this is an Exception
            raise BadArchive(f"a gzip layer is damaged: {error}", hint="the image was pushed broken") from error

    def _begin_member(self) -> bool:
        """Find the next member; False at the end."""
        while self._at == len(self._data) or not self._data[self._at]:
            self._data = self._data[self._at :].lstrip(b"\0") or self._read()
            self._at = 0
            if not self._data:
                return False
        if self._at == len(self._data) - 1:
            self._data, self._at = self._data[self._at :] + self._read(), 0
        if not self._data.startswith(_GZIP, self._at):
            raise BadArchive("a gzip layer is followed by something else", hint="the image was pushed broken")
        self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._bite = _FIRST_BITE
        return True


class Unzstd:
    """zstd of one or many frames (RFC 8878), with windows up to 128 MiB."""

    def __init__(self, source: _Pushed) -> None:
        import zstandard

        self._failure = zstandard.ZstdError
        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX)
        self._stream = decompressor.stream_reader(source, read_size=1 << 18, read_across_frames=True)  # type: ignore[arg-type]

    def read(self) -> bytes:
        try:
            return self._stream.read(PIECE)
        except self._failure as error:
            raise BadArchive(
                f"a zstd layer cannot be decompressed: {error}", hint="it is damaged, or needs a window of more than 128 MiB"
            ) from error
