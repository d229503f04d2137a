"""Where mounts land inside an image that may be hostile.

Runs in: the newborn. Every path is walked by the kernel with the image's root as its root (openat2(2)), and the mount
is attached to the descriptor that came out, so there is no moment in which a link could be swapped (CVE-2021-30465).
"""

import errno
import os
import stat

from pyck_magic.linux import libc
from pyck_magic.linux.libc import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS

_INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_HANDLE = os.O_PATH | os.O_CLOEXEC
_HOPS_MAX = 8


class Refused(OSError):
    """A step that will not go on although the kernel would. The message is for people."""


def plain_directory(root_fd: int, name: str) -> int:
    """A descriptor for the directory `name` at the top of the root; made if missing, refused if it is anything else."""
    try:
        return libc.openat2(root_fd, name, _HANDLE | os.O_DIRECTORY, resolve=_INSIDE | RESOLVE_NO_SYMLINKS)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=root_fd)
        return libc.openat2(root_fd, name, _HANDLE | os.O_DIRECTORY, resolve=_INSIDE | RESOLVE_NO_SYMLINKS)
    except OSError as error:
        raise Refused(error.errno, f"the image's /{name} is no plain directory", f"/{name}") from error


def bind(source: str, root_fd: int, target: str, *, directory: bool, read_only: bool = False, owner_fd: int = -1) -> None:
    """Bind `source` onto `target` inside the root, which is made if missing. Raises OSError with the path."""
    attach(clone(source, read_only=read_only, owner_fd=owner_fd), root_fd, target, directory=directory)


def clone(source: str, *, read_only: bool = False, owner_fd: int = -1) -> int:
    """A mount of `source` that hangs nowhere yet, without devices and setuid programs; its descriptor.

    `owner_fd` is a user namespace through which the files are shown (an idmapped mount). Raises OSError with the path.
    """
    tree = libc.open_tree(
        libc.AT_FDCWD,
        source,
        libc.OPEN_TREE_CLONE | libc.OPEN_TREE_CLOEXEC | (libc.AT_RECURSIVE if owner_fd < 0 else 0),
    )
    try:
        if owner_fd >= 0:
            libc.mount_setattr(tree, "", libc.AT_EMPTY_PATH, attr_set=libc.MOUNT_ATTR_IDMAP, userns_fd=owner_fd)
        wanted = libc.MOUNT_ATTR_NOSUID | libc.MOUNT_ATTR_NODEV | (libc.MOUNT_ATTR_RDONLY if read_only else 0)
        libc.mount_setattr(tree, "", libc.AT_EMPTY_PATH | libc.AT_RECURSIVE, attr_set=wanted)
        return tree
    except OSError:
        os.close(tree)
        raise


def attach(tree: int, root_fd: int, target: str, *, directory: bool) -> None:
    """Mount what `clone` made at `target` inside the root, which is made if missing, and let go of it."""
    try:
        target_fd = _mount_target(root_fd, target, directory=directory)
        try:
            libc.move_mount(tree, "", target_fd, "", libc.MOVE_MOUNT_F_EMPTY_PATH | libc.MOVE_MOUNT_T_EMPTY_PATH)
        finally:
            os.close(target_fd)
    finally:
        os.close(tree)


def open_the_way(root_fd: int, target: str) -> None:
    """Let the container's user pass through the directories above `target` (only in this container's own layer).

    A notebook in /root would else be out of reach for an image's `USER biodocker`, whose image has /root as 0700.
    """
    parts = target.strip("/").split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        fd = libc.openat2(root_fd, "/".join(parts[:depth]), os.O_RDONLY | os.O_DIRECTORY, resolve=_INSIDE)
        try:
            mode = stat.S_IMODE(os.fstat(fd).st_mode)
            if not mode & 0o001:
                os.fchmod(fd, mode | 0o011)
        finally:
            os.close(fd)


def _mount_target(root_fd: int, target: str, *, directory: bool) -> int:
    path = target.strip("/")
    if not path or ".." in path.split("/"):
        raise Refused(22, f"{target!r} cannot be a mount target", target)
    try:
        fd = libc.openat2(root_fd, path, _HANDLE, resolve=_INSIDE)
    except FileNotFoundError:
        fd = _make(root_fd, path, directory=directory)
    for name in ("proc", "sys"):
        if os.fstat(fd).st_dev == os.stat(name, dir_fd=root_fd, follow_symlinks=False).st_dev:
            os.close(fd)
            raise Refused(1, f"nothing can be mounted inside /{name}", target)
    return fd


def _make(root_fd: int, path: str, *, directory: bool, hops: int = 0) -> int:
    """Make `path` with its parents, the way `mkdir -p` would inside the root, and return a handle on it."""
    here = os.open(".", _HANDLE | os.O_DIRECTORY, dir_fd=root_fd)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    try:
        for at, part in enumerate(parts):
            is_directory = directory or at < len(parts) - 1
            try:
                flags = _HANDLE | (os.O_DIRECTORY if is_directory else 0)
                below = libc.openat2(root_fd, "/".join(parts[: at + 1]), flags, resolve=_INSIDE)
            except FileNotFoundError:
                link = _dangling(here, part)
                if link is not None and os.fstat(here).st_dev != os.fstat(root_fd).st_dev:
                    # It is the host's, in a volume: it stays, and what it names is made in the container.
                    meant = _named(parts[:at], link, parts[at + 1 :])
                    return _make(root_fd, meant, directory=directory, hops=_one_more(hops, path))
                if link is not None:  # such as a resolv.conf that points into a /run which is not there
                    os.unlink(part, dir_fd=here)
                below = _create(here, part, directory=is_directory)
            os.close(here)
            here = below
        handle, here = here, -1
        return handle
    finally:
        if here >= 0:
            os.close(here)


def _create(parent_fd: int, name: str, *, directory: bool) -> int:
    if directory:
        os.mkdir(name, 0o755, dir_fd=parent_fd)
        return os.open(name, _HANDLE | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent_fd)
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644, dir_fd=parent_fd))
    return os.open(name, _HANDLE | os.O_NOFOLLOW, dir_fd=parent_fd)


def _dangling(directory_fd: int, name: str) -> str | None:
    """Where a link leads that leads nowhere; None if it is no link."""
    try:
        return os.readlink(name, dir_fd=directory_fd)
    except OSError:
        return None


def _named(above: list[str], link: str, below: list[str]) -> str:
    """The path that `above/link/below` means, seen from the root."""
    start = link if link.startswith("/") else "/".join(["", *above, link])
    return "/".join([os.path.normpath(start), *below])


def _one_more(hops: int, path: str) -> int:
    if hops >= _HOPS_MAX:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return hops + 1
