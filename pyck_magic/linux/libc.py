"""System calls that Python's `os` does not offer, under their C names and in C order of arguments.

Runs in: the launcher, the monitor and the newborn (and, for `pidfd` work, nowhere else: `os` has it).

Every function raises OSError with the errno and the path it was about. Numbers and flags are from the kernel's
uapi headers (`linux/mount.h`, `linux/sched.h`, `linux/openat2.h`, `linux/prctl.h`).
"""

import ctypes
import os
import struct

# linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
SIGCHLD = 17

# linux/mount.h
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2
OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_IDMAP = 0x00100000

# linux/fcntl.h
AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

# linux/openat2.h
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_IN_ROOT = 0x10

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15

_NUMBERS = {
    "x86_64": {"clone": 56, "pivot_root": 155},
    "aarch64": {"clone": 220, "pivot_root": 41},
}
# Calls younger than 2019 have one number on every architecture (asm-generic/unistd.h).
_OPEN_TREE, _MOVE_MOUNT, _CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 428, 429, 436, 437, 442

_CLOSE_RANGE_CLOEXEC = 1 << 2

_libc = ctypes.CDLL(None, use_errno=True)
# PyDLL keeps the GIL over the call: in a clone the child must wake up holding it.
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc_with_gil.syscall.restype = ctypes.c_long
_machine = os.uname().machine


def _number(name: str) -> int:
    try:
        return _NUMBERS[_machine][name]
    except KeyError:
        raise OSError(38, f"{name} is not known on {_machine}") from None


def _check(result: int, path: str | bytes = "") -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fsdecode(path) if path else None)
    return result


def _bytes(path: str | bytes | None) -> bytes | None:
    return os.fsencode(path) if path is not None else None


def clone(flags: int) -> int:
    """fork(2) into new namespaces: the child's pid in the parent, 0 in the child (clone(2)).

    Only for single-threaded processes: Python's after-fork hooks do not run.
    """
    nothing = ctypes.c_void_p(None)
    return _check(_libc_with_gil.syscall(_number("clone"), ctypes.c_ulong(flags | SIGCHLD), nothing, nothing, nothing, nothing))


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones (unshare(2))."""
    _check(_libc.unshare(flags))


def mount(source: str | None, target: str, filesystem: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2). Note that `data` longer than a page is cut silently by the kernel."""
    _check(
        _libc.mount(_bytes(source), _bytes(target), _bytes(filesystem), ctypes.c_ulong(flags), _bytes(data)),
        target,
    )


def umount2(target: str, flags: int = 0) -> None:
    """umount2(2)."""
    _check(_libc.umount2(_bytes(target), flags), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2). Moves the root of every process in this mount namespace."""
    _check(_libc.syscall(_number("pivot_root"), _bytes(new_root), _bytes(put_old)), new_root)


def open_tree(directory_fd: int, path: str, flags: int) -> int:
    """A descriptor for a mount; with OPEN_TREE_CLONE a detached copy of it (open_tree(2), Linux 5.2)."""
    return _check(_libc.syscall(_OPEN_TREE, directory_fd, _bytes(path), ctypes.c_uint(flags)), path)


def move_mount(from_fd: int, from_path: str, to_fd: int, to_path: str, flags: int) -> None:
    """Attach or move a mount, both ends named by descriptors if wanted (move_mount(2), Linux 5.2)."""
    _check(
        _libc.syscall(_MOVE_MOUNT, from_fd, _bytes(from_path), to_fd, _bytes(to_path), ctypes.c_uint(flags)),
        to_path or from_path,
    )


def mount_setattr(directory_fd: int, path: str, flags: int, *, attr_set: int = 0, attr_clr: int = 0, userns_fd: int = 0) -> None:
    """Change the properties of a mount, or of a whole tree with AT_RECURSIVE (mount_setattr(2), Linux 5.12)."""
    attr = struct.pack("QQQQ", attr_set, attr_clr, 0, userns_fd)
    _check(
        _libc.syscall(_MOUNT_SETATTR, directory_fd, _bytes(path), ctypes.c_uint(flags), attr, ctypes.c_size_t(len(attr))),
        path,
    )


def openat2(directory_fd: int, path: str | bytes, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """open(2) with a say in how the path is walked, such as RESOLVE_IN_ROOT (openat2(2), Linux 5.6)."""
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, resolve)
    return _check(_libc.syscall(_OPENAT2, directory_fd, _bytes(path), how, ctypes.c_size_t(len(how))), path)


def close_all_but(*keep: int) -> None:
    """Close every descriptor but these (close_range(2)): also those that would close themselves only at an exec."""
    first = 0
    for fd in sorted({fd for fd in keep if fd >= 0}):
        if first < fd:
            _check(_libc.syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(fd - 1), 0))
        first = fd + 1
    _check(_libc.syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), 0))


def close_range_on_exec(first: int, last: int = 0xFFFFFFFF) -> None:
    """Have every descriptor from `first` to `last` close itself at exec (close_range(2), Linux 5.11)."""
    _check(_libc.syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(_CLOSE_RANGE_CLOEXEC)))


def prctl(option: int, argument: int = 0) -> int:
    """prctl(2) with one argument."""
    return _check(_libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0))


def set_process_name(name: str) -> None:
    """What `ps` shows as the command of this process; at most 15 bytes (PR_SET_NAME)."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _check(_libc.prctl(PR_SET_NAME, buffer, 0, 0, 0))


def setns(namespace_fd: int, kind: int) -> None:
    """Step into an existing namespace (setns(2))."""
    _check(_libc.setns(namespace_fd, kind))
