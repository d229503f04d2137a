"""The launcher: the warm helper process that forks a monitor for every container, and hands it over before it is needed.

Runs in: a process of its own (`python -I -S`, standard library only, one thread), started by `runtime.client`.
It only receives, forks and forgets. When the notebook kernel hangs up, it ends.
"""

import fcntl
import gc
import os
import select
import signal
import socket
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from pyck_magic.linux import libc, trees
from pyck_magic.model.spec import Mould
from pyck_magic.runtime import messages, monitor, seccomp_profile

# What is not urgent waits until the container that has just been asked for had both cores for itself.
_IDLE_MS = 15


class Sandbox(NamedTuple):
    """A container that waits to be asked for: its id and folder, and where its monitor and its newborn take requests."""

    id: str
    state: str
    monitor_end: socket.socket
    newborn_end: socket.socket


def make_sandbox(mould: Mould, notebook_pidfd: int, let_go: Callable[[], None]) -> Sandbox:
    """Make a folder and fork a monitor for it, in which `let_go` closes what is none of its business. Raises OSError."""
    sandbox_id = os.urandom(32).hex()
    state = f"{mould.containers}/{sandbox_id}"
    lock_fd = -1
    try:
        for folder in ("", "/upper", "/work"):
            os.mkdir(state + folder, 0o755 if folder == "/upper" else 0o700)
        lock_fd = os.open(f"{state}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock_fd, fcntl.LOCK_EX)
        monitor_end, monitors_requests = messages.pair()
        newborn_end, newborns_requests = messages.pair()
        if os.fork() == 0:
            monitor_end.close()
            newborn_end.close()
            let_go()
            monitor.watch(mould, state, (monitors_requests, newborns_requests), lock_fd, notebook_pidfd)
    except OSError:
        trees.remove(state)
        raise
    finally:
        if lock_fd >= 0:
            os.close(lock_fd)  # the monitor holds it
    monitors_requests.close()
    newborns_requests.close()
    return Sandbox(sandbox_id, state, monitor_end, newborn_end)


class Launcher:
    """Makes sandboxes: urgent ones at once, others when there is nothing else to do."""

    def __init__(self, notebook_end: socket.socket, notebook_pidfd: int) -> None:
        self.notebook_end = notebook_end
        self.notebook_pidfd = notebook_pidfd
        self.wanted: deque[tuple[int, Mould]] = deque()

    def serve(self) -> None:
        """Answer until the notebook kernel hangs up."""
        poll = select.poll()
        poll.register(self.notebook_end, select.POLLIN)
        while True:
            if not poll.poll(_IDLE_MS if self.wanted else None):
                self._prepare(*self.wanted.popleft())
                continue
            request = messages.receive(self.notebook_end)
            if request is None:
                return
            fields = request[0]
            number, mould = fields["number"], Mould.from_fields(fields["mould"])
            if fields["urgent"]:
                self._prepare(number, mould)
            else:
                self.wanted.append((number, mould))

    def _prepare(self, number: int, mould: Mould) -> None:
        try:
            made = make_sandbox(mould, self.notebook_pidfd, self.notebook_end.close)
        except OSError as error:
            self._answer(number, errno=error.errno, text=error.strerror)
            return
        self._answer(number, (made.monitor_end.fileno(), made.newborn_end.fileno()), id=made.id, state=made.state)
        made.monitor_end.close()
        made.newborn_end.close()

    def _answer(self, number: int, fds: tuple[int, ...] = (), **fields: Any) -> None:
        try:
            messages.send(self.notebook_end, "sandbox", fds, number=number, **fields)
        except OSError:
            return  # the notebook kernel is gone, and so are we with the next poll


def main(notebook_fd: int) -> None:
    """Become the launcher of the process that started us. `notebook_fd` is our end of the socket to it."""
    parent = os.getppid()
    notebook_pidfd = os.pidfd_open(parent)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ■ signals the kernel's whole process group
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # monitors are nobody's business once they run
    libc.set_process_name("pyck launcher")
    for emulate_root in (False, True):
        seccomp_profile.program(seccomp_profile.DEFAULT_CAPABILITIES, emulate_root=emulate_root)  # remembered by every fork
    gc.collect()
    gc.freeze()  # what is there stays shared with every fork
    gc.disable()
    Launcher(socket.socket(fileno=notebook_fd), notebook_pidfd).serve()
