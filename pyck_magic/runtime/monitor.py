"""The monitor: parent of one container's first process, and the only one who tells the kernel how it went.

Runs in: a fork of the launcher, in a session of its own, outside the container's namespaces.
"""

import contextlib
import json
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from pyck_magic.linux import idmaps, libc, trees
from pyck_magic.model.spec import LaunchSpec, Mould
from pyck_magic.runtime import messages, newborn

_ALWAYS_NEW = libc.CLONE_NEWNS | libc.CLONE_NEWPID | libc.CLONE_NEWIPC | libc.CLONE_NEWUTS | libc.CLONE_NEWCGROUP
_OURS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_LONGEST_POLL_MS = 2**31 - 1
TIMED_OUT = "timeout"
# What a container is assumed to have said that was killed before it could say anything.
_KILLED: dict[str, Any] = {
    "status": signal.SIGKILL, "missing": [], "max_rss_bytes": 0, "floor_bytes": 0, "own_user_s": 0.0, "own_system_s": 0.0,
}  # fmt: skip


def watch(
    mould: Mould, state_fd: int, ends: tuple[socket.socket, socket.socket], lock_fd: int, notebook_pidfd: int,
    leave_the_queue: Callable[[], None],
) -> NoReturn:  # fmt: skip
    """Make a sandbox, wait for its request, follow the container to its end, clean up. Never returns.

    `state_fd` is the sandbox's folder, which is moved when it is asked for. `ends` are where requests come in: ours, and
    the newborn's. `leave_the_queue` is called when this sandbox waits no longer.
    """
    try:
        os.setsid()
        for number in _OURS:  # no handler of a `pyck` command may run here, let alone in the container's first process
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        libc.set_process_name("pyck monitor")
        # Whoever finds the lock taken can end this container by SIGTERM to the process named in it.
        os.pwrite(lock_fd, str(os.getpid()).encode("ascii"), 0)
        _Watch(mould, state_fd, notebook_pidfd, leave_the_queue).serve(*ends)
    finally:
        os._exit(0)


class _Watch:
    """One container, from sandbox to last words."""

    def __init__(self, mould: Mould, state_fd: int, notebook_pidfd: int, leave_the_queue: Callable[[], None]) -> None:
        self.mould = mould
        self.state_fd = state_fd
        self.notebook_pidfd = notebook_pidfd
        self.leave_the_queue: Callable[[], None] | None = leave_the_queue
        self.failure: dict[str, Any] | None = None
        self.ending: dict[str, Any] | None = None
        self.reason = ""
        self.told = self.results_read = False
        self.usage: resource.struct_rusage | None = None
        self.started = 0.0
        self.pid = 0
        self.userns_fd = -1

    def serve(self, requests: socket.socket, newborns_requests: socket.socket) -> None:
        try:
            self._clone(requests, newborns_requests)
        except OSError as error:
            path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
            self.failure = {"step": "make_namespaces", "errno": error.errno or 0, "path": path, "text": error.strerror}
            self._kill()  # it may be waiting for its ids
        newborns_requests.close()
        request = self._await_request(requests)
        requests.close()
        if request is None:  # nobody will ever ask for this sandbox
            self._leave_the_queue()
            self._kill()
            self._reap()
            self._remove_state()
            return
        conversation_fd, spec_fd = request[1]
        self.conversation = socket.socket(fileno=conversation_fd)
        self.spec = LaunchSpec.from_json(messages.contents(spec_fd))
        os.close(spec_fd)
        if self.pid:
            self._follow()
            self._reap()
        if not self.told:
            self._last_words()
        self._leave_the_queue()  # if it could not be started
        self._clean_up()

    def _clone(self, requests: socket.socket, newborns_requests: socket.socket) -> None:
        owner_fd = idmaps.owner_namespace(*self.mould.owner) if self.mould.owner else -1
        flags = _ALWAYS_NEW
        if self.mould.uid_map:
            flags |= libc.CLONE_NEWUSER
        if self.mould.network == "none":
            flags |= libc.CLONE_NEWNET
        self.tube, newborns_tube = messages.pair()
        self.pid = libc.clone(flags)
        if self.pid == 0:
            self.tube.close()
            requests.close()
            os.close(self.notebook_pidfd)
            newborn.live(self.mould, self.state_fd, newborns_tube, newborns_requests, owner_fd)
        newborns_tube.close()
        if owner_fd >= 0:
            os.close(owner_fd)
        self.pidfd = os.pidfd_open(self.pid)
        if self.mould.uid_map:
            idmaps.write(self.pid, self.mould.uid_map, self.mould.gid_map, by_helper=self.mould.mapped_by_helper)
            if self.mould.mapped_by_helper:  # needed at the end to remove files that belong to other ids
                self.userns_fd = os.open(f"/proc/{self.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            messages.send(self.tube, "mapped")

    def _await_request(self, requests: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
        """The request, or None when it cannot come any more. A kernel that has ended may have left its sockets to a child."""
        poll = select.poll()
        poll.register(requests, select.POLLIN)
        poll.register(self.notebook_pidfd, select.POLLIN)
        ready = [fd for fd, _event in poll.poll()]
        return messages.receive(requests) if requests.fileno() in ready else None

    def _leave_the_queue(self) -> None:
        """Have another sandbox prepared in place of this one: once, and not while this one is being started."""
        if self.leave_the_queue is not None:
            self.leave_the_queue()
            self.leave_the_queue = None

    def _reap(self) -> None:
        if self.pid:
            _pid, _status, self.usage = os.wait4(self.pid, 0)

    def _follow(self) -> None:
        """Pass words between the notebook and the container until the container's first process is dead."""
        told_to_end, wake_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda _number, _frame: None)
        poll = select.poll()
        for fd in (self.conversation.fileno(), self.tube.fileno(), self.notebook_pidfd, self.pidfd, told_to_end):
            poll.register(fd, select.POLLIN)
        deadline = time.monotonic() + self.spec.timeout_s if self.spec.timeout_s else None
        while True:
            patience = None if deadline is None else min(max(0.0, deadline - time.monotonic()) * 1000, _LONGEST_POLL_MS)
            ready = poll.poll(patience)
            if deadline is not None and time.monotonic() >= deadline:
                deadline = None
                self._kill(TIMED_OUT)
            for fd, _event in ready:
                if fd == self.conversation.fileno():
                    if not self._obey():
                        poll.unregister(fd)
                        self._kill("nobody was listening any more")
                elif fd == self.tube.fileno():
                    if not self._hear():
                        poll.unregister(fd)
                elif fd == told_to_end:
                    os.read(fd, 64)
                    self._kill("stopped")
                elif fd == self.notebook_pidfd:
                    poll.unregister(fd)
                    self._kill("the notebook kernel ended")
                else:
                    while self._hear():
                        pass
                    return

    def _obey(self) -> bool:
        request = messages.receive(self.conversation)
        if request is None:
            return False
        match request[0]["word"]:
            case "kill":
                self._kill("killed on request")
            case "signal":
                with contextlib.suppress(OSError):  # the program has ended; its last words are still to be heard
                    messages.send(self.tube, "signal", number=request[0]["number"])
            case "done":
                self.results_read = True
        return True

    def _hear(self) -> bool:
        said = messages.receive(self.tube)
        if said is None:
            return False
        fields = dict(said[0])
        match fields.pop("word"):
            case "failed":
                self.failure = fields
            case "started":
                self.started = time.monotonic()
                self._tell("started", pid=self.pid, **fields)
                self._leave_the_queue()
            case "exited":
                self.ending = fields
                if fields["is_last"]:  # all is known, and the kernel takes its time to take the namespaces down
                    self._last_words()
        return True

    def _kill(self, reason: str = "") -> None:
        """End every process of the container: the kernel kills a PID namespace with its first process."""
        self.reason = self.reason or reason
        if not self.pid:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def _tell(self, word: str, **fields: Any) -> None:
        with contextlib.suppress(OSError):  # nobody listens: the poll loop sees the hang-up
            messages.send(self.conversation, word, **fields)

    def _last_words(self) -> None:
        self.told = True
        wall_s = time.monotonic() - self.started if self.started else 0.0
        if self.failure is None and not self.started:
            self.failure = {"step": "start_program", "errno": 0, "path": "", "text": self.reason or "the newborn died"}
        if self.failure is not None:
            self._note_exit(125, None, "could not be started")
            self._tell("failed", **self.failure)
            return
        ending = self.ending or dict(_KILLED)
        code = os.waitstatus_to_exitcode(ending["status"])
        number = -code if code < 0 else None
        exit_code = 124 if self.reason == TIMED_OUT else 128 + number if number else code
        self._note_exit(exit_code, number, self.reason)
        if self.usage is not None:  # of all processes together, our own part in it subtracted
            ending["user_s"] = self.usage.ru_utime - ending["own_user_s"]
            ending["system_s"] = self.usage.ru_stime - ending["own_system_s"]
            ending["max_rss_bytes"] = ending["max_rss_bytes"] or self.usage.ru_maxrss * 1024
        self._tell(
            "exited", exit_code=exit_code, signal=number, reason=self.reason, wall_s=wall_s, user_s=ending["user_s"],
            system_s=ending["system_s"], max_rss_bytes=ending["max_rss_bytes"], floor_bytes=ending["floor_bytes"],
            missing=ending["missing"],
        )  # fmt: skip

    def _note_exit(self, exit_code: int, number: int | None, reason: str) -> None:
        """Leave the end of a container that stays where the next engine finds it, even if nobody listens now."""
        if self.mould.remove:
            return
        note = {"exit_code": exit_code, "signal": number, "reason": reason, "finished": time.time()}
        with contextlib.suppress(OSError):
            fresh = f"{self.spec.state}/exit.json.new"
            with open(fresh, "w", encoding="ascii") as file:
                json.dump(note, file)
            os.replace(fresh, f"{self.spec.state}/exit.json")

    def _clean_up(self) -> None:
        """Remove what the container leaves behind, unless it is to stay. Results are read first, if any were asked for."""
        if not self.mould.remove and self.failure is None:
            return
        if self.spec.outputs and self.failure is None and not self.results_read:
            messages.receive(self.conversation)
        self._remove_state()

    def _remove_state(self) -> None:
        state = os.readlink(f"/proc/self/fd/{self.state_fd}")
        if self.userns_fd >= 0:
            idmaps.inside(self.userns_fd, lambda: trees.remove(state))
        trees.remove(state)
