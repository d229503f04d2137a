"""How a process asks for containers: through the warm launcher, or by being one itself.

Runs in: the notebook kernel (WarmLauncher, which never forks it) or the single-threaded `pyck` command (OwnLauncher).
"""

import contextlib
import os
import select
import socket
import sys
import threading
from typing import IO, TYPE_CHECKING, Protocol

from pyck_magic.model.errors import LauncherDied, StoreError
from pyck_magic.model.spec import LaunchSpec, Mould
from pyck_magic.runtime import messages, sandboxes

if TYPE_CHECKING:
    import subprocess

_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BOOT = "import sys; sys.path.insert(0, sys.argv[2]); from pyck_magic.runtime import launcher; launcher.main(int(sys.argv[1]))"


def is_ready(end: socket.socket) -> bool:
    """Is there something to hear, or a hang-up?"""
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return bool(poll.poll(0))


class Sandbox:
    """A container that waits to be asked for. Close it, or lose it with the whole process, and it vanishes."""

    def __init__(self, sandbox_id: str, monitor_end: socket.socket, newborn_end: socket.socket) -> None:
        self.id = sandbox_id
        self.monitor_end = monitor_end
        self._newborn_end = newborn_end

    def launch(self, spec: LaunchSpec, stdio: tuple[int, int, int]) -> socket.socket:
        """Ask for the container; our end of the conversation with its monitor. Raises LauncherDied."""
        ours, theirs = messages.pair()
        spec_fd = messages.sealed(spec.to_json(), "pyck spec")
        try:
            # EPIPE: the newborn died while preparing; the monitor has heard why, and tells.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                messages.send(self._newborn_end, "run", (spec_fd, *stdio))
            messages.send(self.monitor_end, "run", (theirs.fileno(), spec_fd))
            return ours
        except OSError:
            ours.close()
            raise LauncherDied("the container's monitor is gone", step="launch", hint="was it killed? Try again") from None
        finally:
            theirs.close()
            os.close(spec_fd)
            self.close()

    def is_there(self) -> bool:
        """Do its monitor and its newborn still wait? They say nothing unasked."""
        return not is_ready(self.monitor_end) and not is_ready(self._newborn_end)

    def close(self) -> None:
        """Nobody will ask for it (any more). Idempotent."""
        self.monitor_end.close()
        self._newborn_end.close()


class Launching(Protocol):
    """Somebody who has sandboxes, or makes them."""

    def take(self, mould: Mould) -> Sandbox:
        """A sandbox of this mould. Raises StoreError, LauncherDied."""

    def mount_changes(self) -> int:
        """What must be the same for a sandbox to see what is mounted here now."""

    def close(self) -> None:
        """Let go of all of them."""


class WarmLauncher:
    """The launcher process, started at the first use and again should it have died. Safe from several threads.

    It keeps some sandboxes of the last moulds ready: `_ready` has those that have come, by the number of their mould.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: socket.socket | None = None
        self._errors: IO[bytes] | None = None
        self._numbers: dict[Mould, int] = {}  # the mould used last is the last one
        self._ready: dict[int, list[Sandbox]] = {}
        self._moulds_seen = 0
        # Readable with priority after anything has been mounted or unmounted here (proc(5), /proc/PID/mounts).
        self._mountinfo = open("/proc/self/mountinfo", "rb")  # for as long as we live
        self._mounts = select.poll()
        self._mounts.register(self._mountinfo, select.POLLPRI)
        self._mount_changes = 0

    def take(self, mould: Mould) -> Sandbox:
        """A sandbox of this mould: one prepared ahead, or one that is prepared while its request is written."""
        with self._lock:
            for is_second_try in (False, True):
                try:
                    return self._take(mould)
                except (EOFError, BrokenPipeError, ConnectionError):
                    last_words = self._bury()
                    if is_second_try:
                        raise LauncherDied(f"the launcher process ended: {last_words}", step="launch") from None
        raise AssertionError("unreachable")

    def mount_changes(self) -> int:
        """Another number after anything has been mounted or unmounted here: a sandbox sees the mounts of when it was made."""
        with self._lock:
            self._mount_changes += bool(self._mounts.poll(0))
            return self._mount_changes

    def warm_up(self) -> None:
        """Start the launcher now, so that the first container does not wait for it."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """Hang up: the launcher ends, and so do sandboxes that wait. Running containers go on while we live."""
        with self._lock:
            for waiting in self._ready.values():
                for sandbox in waiting:
                    sandbox.close()
            self._numbers.clear()
            self._ready.clear()
            self._bury()

    def _take(self, mould: Mould) -> Sandbox:
        end = self._running()
        number = self._number(mould)
        while is_ready(end):
            self._receive(end)
        lost = 0
        while self._ready[number]:
            sandbox = self._ready[number].pop(0)
            if sandbox.is_there():
                return sandbox
            lost += is_ready(sandbox.monitor_end)  # and nobody will note down that it waits no longer
            sandbox.close()
        mould_fd = messages.sealed(mould.to_json(), "pyck mould")
        try:
            messages.send(end, "prepare", (mould_fd,), number=number, lost=lost)
        finally:
            os.close(mould_fd)
        while not self._ready[number]:
            self._receive(end)
        return self._ready[number].pop(0)  # if it has failed already, its monitor will tell why

    def _number(self, mould: Mould) -> int:
        """The number of a mould, which becomes the one used last. Of too many the one used longest ago is forgotten."""
        number = self._numbers.pop(mould, None)
        if number is None:
            number = self._moulds_seen = self._moulds_seen + 1
            self._ready[number] = []
            if len(self._numbers) >= sandboxes.MOULDS:
                for sandbox in self._ready.pop(self._numbers.pop(next(iter(self._numbers)))):
                    sandbox.close()
        self._numbers[mould] = number
        return number

    def _receive(self, end: socket.socket) -> None:
        """Take in one sandbox; one of a forgotten mould goes at once."""
        try:
            heard = messages.receive(end)
        except OSError as error:
            raise _no_folder(error.strerror) from error
        if heard is None:
            raise EOFError
        fields, fds = heard
        number = fields["number"]
        if not fds:
            raise _no_folder(fields["text"])
        sandbox = Sandbox(fields["id"], socket.socket(fileno=fds[0]), socket.socket(fileno=fds[1]))
        if number in self._ready:
            self._ready[number].append(sandbox)
        else:
            sandbox.close()

    def _running(self) -> socket.socket:
        if self._end is None:
            # A `pyck` command, which is its own launcher, does without them.
            import subprocess
            import tempfile

            self._end, theirs = messages.pair()
            self._errors = tempfile.TemporaryFile()
            command = [sys.executable, "-I", "-S", "-c", _BOOT, str(theirs.fileno()), _PACKAGE_PARENT]
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=self._errors, start_new_session=True, cwd="/", env={},
            )  # fmt: skip
            theirs.close()
        return self._end

    def _bury(self) -> str:
        if self._end is not None:
            self._end.close()
            self._end = None
        last_words = b""
        if self._errors is not None:
            self._errors.seek(0)
            last_words = self._errors.read().strip().rpartition(b"\n")[2]
            self._errors.close()
            self._errors = None
        if self._process is not None:
            # It ends by itself at the hang-up; a thread reaps it, for nobody here may wait.
            threading.Thread(target=self._process.wait, daemon=True).start()
            self._process = None
        return last_words.decode("utf-8", "replace") or "without a word"


def _nothing_to_let_go() -> None:
    """Our descriptors are the monitor's as well."""


def _no_queue() -> None:
    """There will be no other sandbox."""


class OwnLauncher:
    """For a process with one thread: fork the monitor ourselves. A fresh `pyck run` needs no second Python for it."""

    def __init__(self) -> None:
        self._monitors: list[int] = []

    def take(self, mould: Mould) -> Sandbox:
        """Fork a monitor, which prepares while we go on."""
        notebook_pidfd = os.pidfd_open(os.getpid())
        try:
            made = sandboxes.make(mould, notebook_pidfd, let_go=_nothing_to_let_go, leave_the_queue=_no_queue)
        except OSError as error:
            raise _no_folder(error.strerror) from error
        finally:
            os.close(notebook_pidfd)
        self._monitors.append(made.pid)
        return Sandbox(made.id, made.monitor_end, made.newborn_end)

    def mount_changes(self) -> int:
        """Nothing is prepared before it is asked for."""
        return 0

    def close(self) -> None:
        """See our monitors end: their containers have, or end with us."""
        while self._monitors:
            os.waitpid(self._monitors.pop(), 0)


def _no_folder(text: str | None) -> StoreError:
    return StoreError(f"cannot make the container's folder: {text}", hint="look at the home and its disk")
