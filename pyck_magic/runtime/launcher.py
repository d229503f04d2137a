"""The launcher: the warm helper process that forks a monitor for every container, and keeps some ahead.

Runs in: a process of its own (`python -I -S`, standard library only, one thread), started by `runtime.client`.
It only receives, forks and forgets. When the notebook kernel hangs up, it ends.
"""

import contextlib
import gc
import os
import select
import signal
import socket
from typing import Any

from pyck_magic.linux import libc
from pyck_magic.model.spec import Mould
from pyck_magic.runtime import messages, monitor, seccomp_profile

# A sandbox prepared ahead costs 0.7 MB; a notebook starts one container at a time, a script a few.
_AHEAD = 4
_IDLE_MS = 3


class Launcher:
    """Sandboxes ready or to be made, by mould."""

    def __init__(self, notebook_end: socket.socket, notebook_pidfd: int) -> None:
        self.notebook_end = notebook_end
        self.notebook_pidfd = notebook_pidfd
        self.ready: dict[Mould, list[socket.socket]] = {}
        self.wanted: Mould | None = None

    def serve(self) -> None:
        """Answer requests until the notebook kernel hangs up; prepare sandboxes when there is nothing to do."""
        poll = select.poll()
        poll.register(self.notebook_end, select.POLLIN)
        while True:
            lacking = self.wanted is not None and len(self.ready.get(self.wanted, ())) < _AHEAD
            if not poll.poll(_IDLE_MS if lacking else None):
                assert self.wanted is not None
                self.ready.setdefault(self.wanted, []).append(self._prepare(self.wanted))
                continue
            request = messages.receive(self.notebook_end)
            if request is None:
                return
            self._launch(request[0]["mould"], request[0]["owner"], request[1])

    def _launch(self, fields: dict[str, Any], owner: object, fds: list[int]) -> None:
        mould = Mould.from_fields(fields)
        if mould != self.wanted:
            for sandboxes in self.ready.values():
                for sandbox in sandboxes:
                    sandbox.close()  # their monitors see it and leave
            self.ready.clear()
            self.wanted = mould
        waiting = self.ready.get(mould)
        end = waiting.pop() if waiting else self._prepare(mould)
        with contextlib.suppress(BrokenPipeError):
            messages.send(end, "run", tuple(fds), owner=owner)
        end.close()
        for fd in fds:
            os.close(fd)

    def _prepare(self, mould: Mould) -> socket.socket:
        ours, theirs = messages.pair()
        if os.fork() == 0:
            self.notebook_end.close()
            for sandbox in (end for ends in self.ready.values() for end in ends):
                sandbox.close()
            ours.close()
            monitor.watch(theirs, mould, self.notebook_pidfd)
        theirs.close()
        return ours


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
