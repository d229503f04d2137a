"""User namespaces and their maps (user_namespaces(7)).

Runs in: the monitor, single-threaded: all of this forks.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterable

from pyck_magic.linux import libc

IdMap = Iterable[tuple[int, int, int]]


def write(pid: int, uid_map: IdMap, gid_map: IdMap, *, by_helper: bool) -> None:
    """Write the maps of a process's new user namespace: (inside, outside, count).

    A single id that is our own needs no privilege, if setgroups is given up first; more need the setuid helpers
    newuidmap(1) and newgidmap(1), which check /etc/subuid. Raises OSError.
    """
    if by_helper:
        for helper, ids in (("newuidmap", uid_map), ("newgidmap", gid_map)):
            argv = [helper, str(pid), *(str(number) for entry in ids for number in entry)]
            status = os.spawnvp(os.P_WAIT, helper, argv)
            if status != 0:
                raise OSError(1, f"{helper} refused the range of ids", helper)
        return
    for name, text in (("setgroups", "deny"), ("uid_map", _lines(uid_map)), ("gid_map", _lines(gid_map))):
        _write(f"/proc/{pid}/{name}", text)


def owner_namespace(uid: int, gid: int) -> int:
    """A descriptor for a user namespace in which our own ids are shown as `uid` and `gid`, for idmapped mounts.

    A namespace lives as long as somebody holds it, so a child that only waits is enough to make one.
    """
    mine = (os.getuid(), os.getgid())
    pid = libc.clone(libc.CLONE_NEWUSER)
    if pid == 0:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pause()
        os._exit(0)
    try:
        _write(f"/proc/{pid}/uid_map", f"{mine[0]} {uid} 1\n")
        _write(f"/proc/{pid}/gid_map", f"{mine[1]} {gid} 1\n")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def inside(userns_fd: int, work: Callable[[], None]) -> None:
    """Do `work` in a child that is root of the user namespace behind `userns_fd`. Failures stay in the child."""
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(OSError):
            libc.setns(userns_fd, libc.CLONE_NEWUSER)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            work()
        os._exit(0)
    os.waitpid(pid, 0)


def _lines(ids: IdMap) -> str:
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ids)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode("ascii"))  # the kernel takes a map in one write or not at all
    finally:
        os.close(fd)
