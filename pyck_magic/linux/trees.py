"""Remove directory trees that somebody else filled.

Runs in: the monitor, the notebook kernel, the unpacker.
"""

import os
import stat

from pyck_magic.linux import libc

_DEPTH_MAX = 32  # each level takes a descriptor


def remove(path: str) -> None:
    """`rm -rf`, never through a symbolic link and never onto another filesystem.

    Directories that their owner may not read, such as overlayfs' `work/work`, are opened up first. Missing is fine.
    Raises OSError for the first thing that will not go.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError:
            fd = _open_directory(path, None)
            try:
                _empty(fd, os.fstat(fd).st_dev)
            finally:
                os.close(fd)
            os.rmdir(path)


def _empty(top_fd: int, device: int) -> None:
    """Remove all that is in a directory, however deep: what lies deeper than a few levels is first moved up to the top."""
    while _empty_level(top_fd, top_fd, device, 0):
        pass


def _empty_level(directory_fd: int, top_fd: int, device: int, depth: int) -> bool:
    """Empty one directory; True if something was moved up to the top and is still there."""
    moved = False
    with os.scandir(directory_fd) as entries:
        children = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in children:
        if not is_directory:
            os.unlink(name, dir_fd=directory_fd)
            continue
        try:
            os.rmdir(name, dir_fd=directory_fd)
            continue
        except OSError:
            below = _open_directory(name, directory_fd)
        try:
            if os.fstat(below).st_dev != device:
                raise OSError(18, "a mount is in the way", name)
            if depth >= _DEPTH_MAX:
                os.rename(name, os.urandom(16).hex(), src_dir_fd=directory_fd, dst_dir_fd=top_fd)
                moved = True
                continue
            moved |= _empty_level(below, top_fd, device, depth + 1)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=directory_fd)
    return moved


def _open_directory(path: str, dir_fd: int | None) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, dir_fd=dir_fd)
    except PermissionError:
        handle = libc.openat2(dir_fd if dir_fd is not None else libc.AT_FDCWD, path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
        os.close(handle)
        fd = os.open(path, flags, dir_fd=dir_fd)
    if os.fstat(fd).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.fchmod(fd, 0o700)
    return fd
