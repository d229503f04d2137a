"""What is in a file of a layer, and what is said about it: bytes, holes, extended attributes.

Runs in: the unpacker.
"""

import contextlib
import errno
import os
from collections.abc import Iterable

from pyck_magic.store.directories import refused, show

_XATTR_NAME_MAX, _XATTR_VALUE_MAX = 255, 1 << 16  # linux/limits.h


def set_xattrs(fd: int, xattrs: dict[bytes, bytes], *, capabilities: bool) -> None:
    """`user.*`, and file capabilities if wanted. What would speak to overlayfs is refused, the rest is left out."""
    for key, value in xattrs.items():
        if key.startswith((b"trusted.overlay.", b"user.overlay.")):
            raise refused(f"smuggles an attribute of overlayfs ({show(key)})")
        if len(value) > _XATTR_VALUE_MAX or len(key) > _XATTR_NAME_MAX:
            raise refused("holds an extended attribute that is too long")
        if key.startswith(b"user.") or (key == b"security.capability" and capabilities):
            try:
                os.setxattr(fd, key, value)
            except OSError as error:
                if error.errno == errno.ENOSPC and os.fstatvfs(fd).f_bavail:
                    raise refused("holds an extended attribute that this filesystem has no room for") from error
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise


def set_opaque(directory_fd: int) -> None:
    """Tell overlayfs that nothing below shows through, in both spellings, so that a layer serves with `userxattr` too."""
    os.setxattr(directory_fd, b"user.overlay.opaque", b"y")
    with contextlib.suppress(PermissionError):  # only root outside of any user namespace may, and only it mounts without
        os.setxattr(directory_fd, b"trusted.overlay.opaque", b"y")


def write(fd: int, piece: memoryview) -> None:
    """All of it."""
    written = os.write(fd, piece)
    while written < len(piece):
        written += os.write(fd, piece[written:])


def write_spread(fd: int, extents: list[tuple[int, int]], size: int, body: Iterable[memoryview]) -> None:
    """Write the pieces of a sparse file where they belong; what is between them are holes."""
    pieces = iter(body)
    here = memoryview(b"")
    for offset, length in extents:
        os.lseek(fd, offset, os.SEEK_SET)
        while length:
            here = here or next(pieces)
            write(fd, here[:length])
            used = min(length, len(here))
            here, length = here[used:], length - used
    os.ftruncate(fd, size)
