"""Find and keep open the directories that entries go into, without ever leaving the layer's own.

Runs in: the unpacker.

Every directory is opened component by component with O_NOFOLLOW and kept open for its neighbours. Only a parent that is
a symbolic link in this very layer is resolved by the kernel, as if the layer's directory were the root (openat2,
RESOLVE_IN_ROOT): the tree is then the one that Docker makes, and no name can lead out.
"""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable

from pyck_magic.linux import libc
from pyck_magic.model.errors import BadArchive, NotPossibleHere

WHITEOUT = b".wh."
_COMPONENT_MAX = 255
_PATH_MAX = 4096
_DEPTH_MAX = 256
# Two paths of full depth must be open at once, for a hard link; and a process may have 1024.
_OPEN_MAX = 3 * _DEPTH_MAX
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Directories:
    """Paths in, (descriptor of the parent, last component) out. `make` makes a parent that nobody has mentioned."""

    def __init__(self, root_fd: int, make: Callable[[int, bytes], None]) -> None:
        self._root_fd = root_fd
        self._make = make
        self._open: OrderedDict[bytes, int] = OrderedDict()

    def place(self, path: bytes, *, make: bool = True) -> tuple[int, bytes]:
        """Where a cleaned path is: its parent, and its name there. Without `make` raises FileNotFoundError."""
        above, _slash, name = path.rpartition(b"/")
        if not above:
            return self._root_fd, name
        fd = self._open.get(above)
        if fd is None:
            return self._walk(above, make), name
        self._open.move_to_end(above)
        return fd, name

    def forget(self) -> None:
        """Close all of them: something that they were reached through may have been replaced."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _walk(self, path: bytes, make: bool) -> int:
        fd, at = self._root_fd, -1
        while at < len(path):
            start = at + 1
            at = path.find(b"/", start)
            at = len(path) if at < 0 else at
            so_far = path[:at]
            known = self._open.get(so_far)
            if known is None:
                known = self._open[so_far] = self._enter(fd, so_far, path[start:at], make)
                if len(self._open) > _OPEN_MAX:
                    os.close(self._open.popitem(last=False)[1])
            else:
                self._open.move_to_end(so_far)
            fd = known
        return fd

    def _enter(self, parent: int, path: bytes, name: bytes, make: bool) -> int:
        try:
            return os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            there = os.lstat(name, dir_fd=parent)
            if stat.S_ISLNK(there.st_mode):
                return self._resolve(path)
            if not is_whiteout(there) or not make:
                raise refused(f"puts a file below {show(path)}, which is no directory") from None
        if name.startswith(WHITEOUT):
            raise refused(f"puts a file below a whiteout ({show(path)})")
        self._make(parent, name)
        return os.open(name, _DIRECTORY, dir_fd=parent)

    def _resolve(self, path: bytes) -> int:
        try:
            return libc.openat2(
                self._root_fd, path, os.O_PATH | os.O_DIRECTORY, resolve=libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS
            )
        except OSError as error:
            if error.errno in (errno.ENOSYS, errno.EPERM):
                raise NotPossibleHere(
                    "a layer with symbolic links in its paths cannot be unpacked here: openat2 is missing",
                    hint="a kernel of 5.6 or newer is needed, and a seccomp filter that knows openat2",
                ) from error
            raise refused(f"puts a file below {show(path)}, a symbolic link that leads nowhere") from error


def clean(name: bytes) -> bytes:
    """A name as a path below the root: no leading slash, no `.`, no `..`; empty for the root itself.

    `..` is taken out by its letters alone, as Docker does; one that would lead out is refused, and so is a name that
    no Linux filesystem can hold.
    """
    if b"\0" in name or len(name) >= _PATH_MAX:
        raise refused("holds a name that no filesystem can hold")
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part in (b"", b"."):
            continue
        if part == b"..":
            if parts:
                parts.pop()
            elif not name.startswith(b"/"):
                raise refused(f"holds {show(name)}, which leads out of the image")
        elif len(part) > _COMPONENT_MAX:
            raise refused("holds a name that no filesystem can hold")
        else:
            parts.append(part)
    if len(parts) > _DEPTH_MAX:
        raise refused(f"holds directories nested more than {_DEPTH_MAX} deep")
    return b"/".join(parts)


def is_whiteout(status: os.stat_result) -> bool:
    """The device that tells overlayfs that a name is gone. In a tree of ours only we can have made it."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def refused(what: str) -> BadArchive:
    return BadArchive(f"a layer {what}", hint="the image was pushed broken, or somebody tries something: do not use it")


def show(name: bytes) -> str:
    """A name for a message: short, on one line, and printable."""
    return ascii(os.fsdecode(name[:100])) + ("…" if len(name) > 100 else "")
