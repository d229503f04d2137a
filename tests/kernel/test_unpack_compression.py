"""gzip, zstd and plain layers, whole and broken, and what unpacking them takes."""

import gzip
import hashlib
import os
import random
import subprocess
import zlib
from pathlib import Path

import pytest
import zstandard

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BrokenContent, UnsupportedMedia
from tests.kernel.unpack_archives import END, GZIP, PLAIN, ZSTD, file, gzipped, header, peak_bytes, unpack

_NOISE = random.Random(7).randbytes(700_000)
ARCHIVE = file(b"noise", _NOISE) + file(b"text", b"text " * 100_000) + END


def _zstd(content: bytes, **options: object) -> bytes:
    return zstandard.ZstdCompressor(level=1, **options).compress(content)  # type: ignore[arg-type]


WHOLE = {
    "plain": (PLAIN, ARCHIVE),
    "plain, Docker's name": ("application/vnd.docker.image.rootfs.diff.tar", ARCHIVE),
    "gzip": (GZIP, gzipped(ARCHIVE)),
    "gzip, Docker's name": ("application/vnd.docker.image.rootfs.diff.tar.gzip", gzipped(ARCHIVE)),
    "gzip, a foreign layer's name": ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", gzipped(ARCHIVE)),
    "gzip of many members": (GZIP, b"".join(gzipped(ARCHIVE[at : at + 3333]) for at in range(0, len(ARCHIVE), 3333))),
    "gzip with empty members": (GZIP, gzipped(b"") * 50 + gzipped(ARCHIVE) + gzipped(b"")),
    "gzip padded with zeros": (GZIP, gzipped(ARCHIVE) + bytes(100_000)),
    "zstd": (ZSTD, _zstd(ARCHIVE)),
    "zstd, Docker's name": ("application/vnd.docker.image.rootfs.diff.tar.zstd", _zstd(ARCHIVE)),
    "zstd of many frames": (ZSTD, b"".join(_zstd(ARCHIVE[at : at + 77_777]) for at in range(0, len(ARCHIVE), 77_777))),
    "zstd with skippable frames": (ZSTD, b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + _zstd(ARCHIVE) + b"\x5f\x2a\x4d\x18\0\0\0\0"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole(name: str, tmp_path: Path) -> None:
    """Every way of compressing a layer gives the same files."""
    media_type, blob = WHOLE[name]
    tree = unpack(tmp_path, ARCHIVE, media_type, blob=blob)

    assert (tree / "noise").read_bytes() == _NOISE


_GZ, _ZS = gzipped(ARCHIVE), zstandard.ZstdCompressor(write_checksum=True).compress(ARCHIVE)
BROKEN = {
    "gzip, wrong CRC": (GZIP, _GZ[:-8] + bytes(4) + _GZ[-4:]),
    "gzip, wrong length": (GZIP, _GZ[:-4] + bytes(4)),
    "gzip, flipped bit": (GZIP, _GZ[:300_000] + bytes([_GZ[300_000] ^ 4]) + _GZ[300_001:]),
    "gzip, truncated": (GZIP, _GZ[:-100_000]),
    "gzip, only its trailer is missing": (GZIP, _GZ[:-8]),
    "gzip, only a header": (GZIP, _GZ[:10]),
    "gzip, something behind it": (GZIP, _GZ + b"behind"),
    "zstd, wrong checksum": (ZSTD, _ZS[:-4] + bytes(4)),
    "zstd, truncated": (ZSTD, _ZS[:-100_000]),
    "zstd, something behind it": (ZSTD, _ZS + b"behind it"),
    "zstd, a window of 2 GiB": (ZSTD, b"\x28\xb5\x2f\xfd\x00\xa8" + _ZS[6:]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str, tmp_path: Path) -> None:
    """Damage below a right digest is one clear error."""
    media_type, blob = BROKEN[name]
    with pytest.raises(BrokenContent):
        unpack(tmp_path, ARCHIVE, media_type, blob=blob)


LIES = {
    "plain as gzip": (GZIP, ARCHIVE),
    "zstd as gzip": (GZIP, _ZS),
    "gzip as zstd": (ZSTD, _GZ),
    "gzip as plain": (PLAIN, _GZ),
    "zstd as plain": (PLAIN, _ZS),
}


@pytest.mark.parametrize("name", LIES)
def test_media_type_that_lies(name: str, tmp_path: Path) -> None:
    """A layer whose media type says something else than its bytes is refused."""
    media_type, blob = LIES[name]
    with pytest.raises(UnsupportedMedia):
        unpack(tmp_path, ARCHIVE, media_type, blob=blob)


def test_deflate_is_not_gzip(tmp_path: Path) -> None:
    """zlib's own format is nothing a layer may be in."""
    with pytest.raises(BrokenContent):
        unpack(tmp_path, ARCHIVE, PLAIN, blob=zlib.compress(ARCHIVE))


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Hundreds of megabytes of zeros in less than one, in a file and behind the end, take less than 100 MB of memory."""
    size = 300 << 20
    pieces = [header(b"zeros", size=b"%011o\0" % size), *[bytes(1 << 20)] * (size >> 20), END, bytes(size >> 2)]
    plain, packed, whole = hashlib.sha256(), [], zlib.compressobj(9, zlib.DEFLATED, 31)
    for piece in pieces:
        plain.update(piece)
        packed.append(whole.compress(piece))
    packed.append(whole.flush())
    peak_bytes[0] = 0
    tree = unpack(tmp_path, b"", GZIP, blob=b"".join(packed), diff_id=Digest("sha256", plain.hexdigest()))

    assert (tree / "zeros").stat().st_size == size
    assert 1 << 20 < peak_bytes[0] < 100 << 20
    os.truncate(tree / "zeros", 0)


def test_gzip_tool_agrees(tmp_path: Path) -> None:
    """What we call broken, gzip(1) calls broken too; what we call padding, it ignores."""
    for name in ("gzip, wrong CRC", "gzip, truncated"):
        assert subprocess.run(["gzip", "-t"], input=BROKEN[name][1], capture_output=True, check=False).returncode != 0
    assert gzip.decompress(WHOLE["gzip of many members"][1]) == ARCHIVE
