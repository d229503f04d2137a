"""Sandboxes: containers that are prepared as far as possible and wait to be asked for.

Runs in: the launcher, or a `pyck` command that is its own launcher. Single-threaded: it forks.
"""

import fcntl
import os
import socket
from collections.abc import Callable
from typing import NamedTuple

from pyck_magic.linux import trees
from pyck_magic.model.spec import Mould
from pyck_magic.runtime import messages, monitor

# A notebook runs cells of one image or two in turn, one after the other; a script a few at a time. A sandbox that waits
# costs 0.7 MB.
MOULDS = 2
AHEAD = 4


class Made(NamedTuple):
    """A sandbox: its id, its monitor's pid, and where its monitor and its newborn take requests."""

    id: str
    pid: int
    monitor_end: socket.socket
    newborn_end: socket.socket


def make(mould: Mould, notebook_pidfd: int, *, let_go: Callable[[], None], leave_the_queue: Callable[[], None]) -> Made:
    """Make a folder, and fork a monitor that prepares a container in it. Raises OSError.

    In the monitor, `let_go` closes what is none of its business, and `leave_the_queue` is called when the sandbox waits
    no longer.
    """
    sandbox_id = os.urandom(32).hex()
    state = f"{mould.sandboxes}/{sandbox_id}"
    lock_fd = state_fd = -1
    try:
        for folder in ("", "/upper", "/work"):
            os.mkdir(state + folder, 0o755 if folder == "/upper" else 0o700)
        lock_fd = os.open(f"{state}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        state_fd = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        monitor_end, monitors_requests = messages.pair()
        newborn_end, newborns_requests = messages.pair()
        pid = os.fork()
        if pid == 0:
            monitor_end.close()
            newborn_end.close()
            let_go()
            monitor.watch(
                mould, state_fd, (monitors_requests, newborns_requests), lock_fd, notebook_pidfd, leave_the_queue
            )
    except OSError:
        trees.remove(state)
        raise
    finally:
        for fd in (lock_fd, state_fd):  # the monitor holds them
            if fd >= 0:
                os.close(fd)
    monitors_requests.close()
    newborns_requests.close()
    return Made(sandbox_id, pid, monitor_end, newborn_end)
