"""How a process asks for containers: through the warm launcher, or by being one itself.

Runs in: the notebook kernel (WarmLauncher, which never forks it) or the single-threaded `pyck` command (OwnLauncher).
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, Protocol

from pyck_magic.model.errors import LauncherDied
from pyck_magic.model.spec import LaunchSpec
from pyck_magic.runtime import messages

_PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
_BOOT = "import sys; sys.path.insert(0, sys.argv[2]); from pyck_magic.runtime import launcher; launcher.main(int(sys.argv[1]))"


class Launching(Protocol):
    """Somebody who can launch a container and hands back the conversation with its monitor."""

    def launch(self, spec: LaunchSpec, lock_fd: int, stdio: tuple[int, int, int]) -> socket.socket: ...

    def close(self) -> None: ...


class WarmLauncher:
    """The launcher process, started at the first use and again should it have died. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: socket.socket | None = None
        self._errors: IO[bytes] | None = None

    def launch(self, spec: LaunchSpec, lock_fd: int, stdio: tuple[int, int, int]) -> socket.socket:
        """Ask for a container; our end of the conversation with its monitor. Raises LauncherDied."""
        ours, theirs = messages.pair()
        spec_fd = messages.sealed(spec.to_json(), "pyck spec")
        try:
            with self._lock:
                for attempt in (1, 2):
                    try:
                        fds = (theirs.fileno(), spec_fd, lock_fd, *stdio)
                        messages.send(self._running(), "run", fds, mould=spec.mould.fields(), owner=spec.owner)
                        return ours
                    except (BrokenPipeError, ConnectionError):
                        last_words = self._bury()
                        if attempt == 2:
                            ours.close()
                            raise LauncherDied(f"the launcher process ended: {last_words}", step="launch") from None
        finally:
            theirs.close()
            os.close(spec_fd)
        raise AssertionError("unreachable")

    def warm_up(self) -> None:
        """Start the launcher now, so that the first container does not wait for it."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """Hang up: the launcher ends, and so do sandboxes that wait. Running containers go on while we live."""
        with self._lock:
            self._bury()

    def _running(self) -> socket.socket:
        if self._end is None:
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


class OwnLauncher:
    """For a process with one thread: fork the monitor ourselves. A fresh `pyck run` needs no second Python for it."""

    def launch(self, spec: LaunchSpec, lock_fd: int, stdio: tuple[int, int, int]) -> socket.socket:
        """Fork a monitor for `spec`; our end of the conversation with it."""
        from pyck_magic.runtime import monitor

        ours, theirs = messages.pair()
        ask, request_end = messages.pair()
        spec_fd = messages.sealed(spec.to_json(), "pyck spec")
        notebook_pidfd = os.pidfd_open(os.getpid())
        if os.fork() == 0:
            with contextlib.suppress(BaseException):
                ask.close()
                ours.close()
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                monitor.watch(request_end, spec.mould, notebook_pidfd)
            os._exit(125)
        request_end.close()
        messages.send(ask, "run", (theirs.fileno(), spec_fd, lock_fd, *stdio), owner=spec.owner)
        for end in (ask, theirs):
            end.close()
        for fd in (spec_fd, notebook_pidfd):
            os.close(fd)
        return ours

    def close(self) -> None:
        """Nothing to hang up."""
