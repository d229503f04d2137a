"""What only ext4 has to be told.

Runs in: the notebook kernel, or the `pyck` command.
"""

import contextlib
import fcntl
import os
import struct

# linux/fs.h (_IOR and _IOW of 'f' 1 and 2, long), and ext4's `Top of directory hierarchies` (chattr(1), +T)
_FS_IOC_GETFLAGS, _FS_IOC_SETFLAGS = 0x80086601, 0x40086602
_TOPDIR = 0x00020000


def spread_children(path: str) -> None:
    """Have each directory made in `path` put somewhere else on the disk, instead of all of them close together.

    ext4 does not give out an inode again for up to five minutes after it was freed, and walks past all of those one by
    one, so next to many removed files new ones cost ten times as much. Elsewhere nothing happens.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            flags = bytearray(8)
            fcntl.ioctl(fd, _FS_IOC_GETFLAGS, flags)
            (now,) = struct.unpack("=q", flags)
            fcntl.ioctl(fd, _FS_IOC_SETFLAGS, struct.pack("=q", now | _TOPDIR))
    finally:
        os.close(fd)
