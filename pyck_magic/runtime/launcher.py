"""The launcher: the warm helper process that forks a monitor for every container, most of them before they are needed.

Runs in: a process of its own (`python -I -S`, standard library only, one thread), started by `runtime.client`.
It only receives, forks and forgets. When the notebook kernel hangs up, it ends.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
from typing import Any

from pyck_magic.linux import libc
from pyck_magic.model.spec import Mould
from pyck_magic.runtime import messages, sandboxes, seccomp_profile

# A container that starts should have both cores for itself, so the next one waits; unless hardly any are left, and what
# is not prepared meanwhile would be missed at once.
_IDLE_MS = 15
_FEW = 2
_NOTE = struct.Struct("=i")


class Launcher:
    """Makes the first sandbox of a mould when it is asked for, and then keeps some ahead.

    `waiting` counts those that nobody has taken yet, by the number of their mould: monitors note down on a pipe that
    theirs waits no longer.
    """

    def __init__(self, notebook_end: socket.socket, notebook_pidfd: int) -> None:
        self.notebook_end = notebook_end
        self.notebook_pidfd = notebook_pidfd
        self.notes, self.note_down = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.moulds: dict[int, Mould] = {}  # the one used last is the last one
        self.waiting: dict[int, int] = {}

    def serve(self) -> None:
        """Answer until the notebook kernel hangs up."""
        poll = select.poll()
        poll.register(self.notebook_end, select.POLLIN)
        poll.register(self.notes, select.POLLIN)
        poll.register(self.notebook_pidfd, select.POLLIN)  # a child of it may have inherited its end of the socket
        while True:
            lacking = [number for number in reversed(self.moulds) if self.waiting[number] < sandboxes.AHEAD]
            ready = [fd for fd, _event in poll.poll(self._patience_ms(lacking))]
            if not ready:
                with contextlib.suppress(OSError):
                    self._prepare(lacking[0])
            if self.notes in ready:
                self._read_notes()
            if self.notebook_end.fileno() in ready:
                request = messages.receive(self.notebook_end)
                if request is None:
                    return
                self._obey(*request)
            if self.notebook_pidfd in ready:
                return

    def _obey(self, fields: dict[str, Any], fds: list[int]) -> None:
        number = fields["number"]
        self._use(number, Mould.from_fields(json.loads(messages.contents(fds[0]))))
        os.close(fds[0])
        self.waiting[number] -= fields["lost"]
        try:
            self._prepare(number)
        except OSError as error:
            messages.send(self.notebook_end, "sandbox", number=number, text=error.strerror)

    def _patience_ms(self, lacking: list[int]) -> int | None:
        """How long to wait for something more urgent than a sandbox of the first mould that is `lacking` some."""
        if not lacking:
            return None
        return _IDLE_MS if self.waiting[lacking[0]] >= _FEW else 0

    def _note_down(self, number: int) -> None:
        """In the monitor: its sandbox waits no longer."""
        os.write(self.note_down, _NOTE.pack(number))

    def _read_notes(self) -> None:
        for (number,) in _NOTE.iter_unpack(os.read(self.notes, 1024 * _NOTE.size)):
            if number in self.moulds:
                self.waiting[number] -= 1
                self._use(number, self.moulds[number])

    def _use(self, number: int, mould: Mould) -> None:
        """Note which mould is used last; of too many the one used longest ago is forgotten."""
        self.moulds.pop(number, None)
        self.moulds[number] = mould
        self.waiting.setdefault(number, 0)
        if len(self.moulds) > sandboxes.MOULDS:
            oldest = next(iter(self.moulds))
            del self.moulds[oldest], self.waiting[oldest]

    def _prepare(self, number: int) -> None:
        """Make a sandbox and send it off. Raises OSError."""
        try:
            made = sandboxes.make(
                self.moulds[number], self.notebook_pidfd, let_go=self.notebook_end.close,
                leave_the_queue=lambda: self._note_down(number),
            )  # fmt: skip
        except OSError:
            del self.moulds[number], self.waiting[number]  # no more of these until somebody asks
            raise
        self.waiting[number] += 1
        fds = (made.monitor_end.fileno(), made.newborn_end.fileno())
        messages.send(self.notebook_end, "sandbox", fds, number=number, id=made.id)
        made.monitor_end.close()
        made.newborn_end.close()


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
    with contextlib.suppress(BrokenPipeError):  # the notebook kernel is gone, and with it the need for us
        Launcher(socket.socket(fileno=notebook_fd), notebook_pidfd).serve()
    with contextlib.suppress(ChildProcessError):
        while True:  # not every process number 1 reaps the children of others, such as a kernel in a pod
            os.wait()
