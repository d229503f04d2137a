"""Archives made byte by byte, as no honest program would, and the unpacker process that must cope with them."""

import gzip
import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path

from pyck_magic.model.digest import Digest
from pyck_magic.store.unpacker import owns_all_ids
from pyck_magic.store.workers import Unpacker, as_error

END = bytes(1024)
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
PLAIN = "application/vnd.oci.image.layer.v1.tar"
REAL_OWNERS = owns_all_ids()


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def header(
    name: bytes, kind: bytes = b"0", *, size: int | bytes = 0, mode: int = 0o644, uid: int | bytes = 0, gid: int = 0,
    mtime: int | bytes = 0, link: bytes = b"", magic: bytes = b"ustar\x0000", major: int = 0, minor: int = 0, rest: bytes = b"",
) -> bytes:  # fmt: skip
    """One header block; numbers may be given as the raw bytes of their field, `rest` replaces what follows byte 345."""

    def field(value: int | bytes, width: int) -> bytes:
        return value if isinstance(value, bytes) else octal(value, width)

    block = bytearray(512)
    for at, content in (
        (0, name[:100]), (100, octal(mode, 8)), (108, field(uid, 8)), (116, octal(gid, 8)), (124, field(size, 12)),
        (136, field(mtime, 12)), (148, b" " * 8), (156, kind), (157, link[:100]), (257, magic),
        (329, octal(major, 8)), (337, octal(minor, 8)), (345, rest),
    ):  # fmt: skip
        block[at : at + len(content)] = content
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def file(name: bytes, content: bytes = b"", **fields: object) -> bytes:
    long_name = pax({b"path": name}) if len(name) > 100 else b""
    return long_name + header(name, size=len(content), **fields) + padded(content)  # type: ignore[arg-type]


def directory(name: bytes, mode: int = 0o755, **fields: object) -> bytes:
    return header(name, b"5", mode=mode, **fields)  # type: ignore[arg-type]


def symlink(name: bytes, link: bytes) -> bytes:
    return header(name, b"2", link=link, mode=0o777) if len(link) <= 100 else pax({b"linkpath": link}) + header(name, b"2")


def hardlink(name: bytes, link: bytes) -> bytes:
    return pax({b"linkpath": link}) + header(name, b"1", link=link)


def pax(records: dict[bytes, bytes] | list[tuple[bytes, bytes]], kind: bytes = b"x") -> bytes:
    content = b""
    for key, value in records.items() if isinstance(records, dict) else records:
        length = len(key) + len(value) + 3
        total = length + len(str(length))
        total = length + len(str(total))
        content += b"%d %s=%s\n" % (total, key, value)
    return header(b"pax", kind, size=len(content)) + padded(content)


def unpack(
    folder: Path, content: bytes, media_type: str = PLAIN, *, blob: bytes | None = None, digest: Digest | None = None,
    diff_id: Digest | None = None,
) -> Path:  # fmt: skip
    """Let a real unpacker process unpack `content` (as it is, or compressed in `blob`); raises what it complains of."""
    stored = content if blob is None else blob
    partial = folder / "partial"
    partial.write_bytes(stored)
    tree = folder / "unpacking" / "layer"
    tree.mkdir(parents=True)
    unpacker = Unpacker(str(tree.parent), zstd="zstd" in media_type)
    fd = os.open(partial, os.O_RDONLY)
    try:
        unpacker.give(
            fd, size=len(stored), arrived=len(stored), digest=digest or Digest.of(stored), diff_id=diff_id or Digest.of(content),
            media_type=media_type, into="layer",
        )  # fmt: skip
        while True:
            match unpacker.receive():
                case {"done": _}:
                    return tree
                case {"failed": dict(failed)}:
                    raise as_error(failed)
    finally:
        peak_bytes[0] = max(peak_bytes[0], peak_memory_bytes(unpacker.pid))
        os.close(fd)
        unpacker.close()


peak_bytes = [0]


def peak_memory_bytes(pid: int) -> int:
    """The most memory a process has had resident since its exec."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


def unpack_naively(folder: Path, content: bytes) -> Path:
    """The control: Python's tarfile with every check turned off."""
    tree = folder / "naive"
    tree.mkdir()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        if hasattr(tarfile, "fully_trusted_filter"):  # since 3.11.4; before, there was no filter to turn off
            archive.extraction_filter = tarfile.fully_trusted_filter
        archive.extractall(tree)
    return tree


def everything_below(folder: Path) -> list[Path]:
    return sorted(Path(parent, name) for parent, folders, files in os.walk(folder) for name in folders + files)


def fingerprint(folder: Path) -> dict[str, str]:
    """Everything that could have been changed below a folder."""
    found = {}
    for path in everything_below(folder):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else ""
        if stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = f"{status.st_mode:o} {status.st_uid} {status.st_nlink} {content}"
    return found
