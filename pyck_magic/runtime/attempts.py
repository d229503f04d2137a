"""Trying something out without consequences: in a forked child, in namespaces that vanish with it, against the clock.

Runs in: the probe's process, single-threaded.
"""

import errno
import json
import os
import select
import signal
from collections.abc import Callable

from pyck_magic.linux import idmaps, libc

Finding = dict[str, int | str]
"""`errno` and `text` of a failure (0 and empty if there was none), `at` what path, and what else was found as `detail`."""


class Room:
    """A folder in the home for the probes to play in, and the way in which this one enters its namespaces."""

    def __init__(self, path: str, way: str = "userns") -> None:
        self.path = path
        self.way = way

    def at(self, name: str) -> str:
        """A folder of this way alone, made if missing."""
        path = f"{self.path}/{self.way}/{name}"
        os.makedirs(path, exist_ok=True)
        return path


Probe = Callable[[Room], str]
"""Does something; raises OSError (or LookupError with a path) if it cannot be done, else returns what there is to say."""


def attempt(probe: Probe, room: Room, *, limit_s: float = 5.0) -> Finding:
    """Run a probe in a child; at the time limit the child and all it started are ended."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            os.write(write_end, json.dumps(_finding(probe, room)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    ready, _write, _error = select.select([read_end], [], [], limit_s)
    said = os.read(read_end, 65536) if ready else b""
    os.close(read_end)
    if not said:
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if said:
        finding: Finding = json.loads(said)
        return finding
    return {"errno": errno.ETIME, "text": "died" if ready else "took too long", "at": "", "detail": ""}


def _finding(probe: Probe, room: Room) -> Finding:
    try:
        return {"errno": 0, "text": "", "at": "", "detail": probe(room)}
    except LookupError as error:
        return {"errno": errno.ENODATA, "text": "no entry", "at": str(error.args[0]), "detail": ""}
    except OSError as error:
        at = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        return {"errno": error.errno or errno.EIO, "text": error.strerror or str(error), "at": at, "detail": ""}


def enter(room: Room, flags: int, work: Callable[[], None]) -> None:
    """Do `work` in new namespaces: as we are, or as root of a user namespace in which our one id is 0."""

    def apart() -> None:
        if flags & libc.CLONE_NEWNS:  # or what root mounts would show up outside as well
            libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
        work()

    if room.way == "root":
        in_namespaces(flags, apart)
        return
    maps = ((0, os.getuid(), 1),), ((0, os.getgid(), 1),)
    in_namespaces(flags | libc.CLONE_NEWUSER, apart, lambda pid: idmaps.write(pid, *maps, by_helper=False))


def in_namespaces(flags: int, work: Callable[[], None], introduce: Callable[[int], None] | None = None) -> None:
    """Clone a child into new namespaces, let us `introduce` it from outside, and then do `work` in it.

    Raises the OSError of whichever failed; one from inside comes back by its number.
    """
    go_read, go_write = os.pipe2(os.O_CLOEXEC)
    pid = libc.clone(flags)
    if pid == 0:
        code = errno.EIO
        try:
            os.close(go_write)
            if os.read(go_read, 1):
                work()
                code = 0
        except OSError as error:
            code = error.errno or code
        finally:
            os._exit(code)
    os.close(go_read)
    try:
        if introduce is not None:
            introduce(pid)
        os.write(go_write, b"!")
    finally:
        os.close(go_write)  # a child that was not let go sees the end and leaves
        _pid, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise OSError(abs(code), os.strerror(code) if code > 0 else f"killed by signal {-code}")
