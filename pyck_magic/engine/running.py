"""A container that runs: what the notebook holds of it, until it has ended.

Runs in: the notebook kernel, any thread. Waits only in poll(2), so that an interrupt arrives at once.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from pyck_magic.model.errors import LauncherDied, LaunchError
from pyck_magic.model.records import Image
from pyck_magic.model.result import Result, Usage
from pyck_magic.runtime import messages

_GRACE_S = 0.05


class Running:
    """One started container. Read `stdout_fd` and `stderr_fd`, poll `conversation_fd` beside them, then `wait`.

    Closing it, or losing it with the whole process, ends the container.
    """

    def __init__(
        self, *, container_id: str, name: str, image: Image, mode: str, outputs: dict[str, str],
        stdout_fd: int, stderr_fd: int, conversation: socket.socket, at_end: Callable[[Result], None],
    ) -> None:  # fmt: skip
        self.container_id = container_id
        self.name = name
        self.image = image
        self.mode = mode
        self.stdout_fd = stdout_fd
        self.stderr_fd = stderr_fd
        self.pid = 0
        self._conversation = conversation
        self._outputs = outputs
        self._at_end = at_end
        self._warnings: tuple[str, ...] = ()
        self._result: Result | None = None

    @property
    def conversation_fd(self) -> int:
        """Readable when the monitor has something to say; -1 after `close`."""
        return self._conversation.fileno()

    def wait_until_started(self) -> None:
        """Return when the program has taken over. Raises LaunchError with the step that failed."""
        said = self._hear(None)
        if said["word"] == "failed":
            raise _explain(said)
        self.pid = said["pid"]
        self._warnings = tuple(said["warnings"])

    def signal(self, number: int) -> None:
        """Send a signal to the program and its process group; nothing happens when it has ended."""
        with contextlib.suppress(OSError):
            messages.send(self._conversation, "signal", number=int(number))

    def kill(self) -> None:
        """End every process of the container at once (SIGKILL to its PID namespace)."""
        with contextlib.suppress(OSError):
            messages.send(self._conversation, "kill")

    def interrupt(self, grace_s: float = _GRACE_S) -> str:
        """SIGINT, and after `grace_s` SIGKILL for whoever is left; says what was needed."""
        self.signal(signal.SIGINT)
        if self.finished(grace_s):
            return "SIGINT"
        self.kill()
        return "SIGINT, then SIGKILL"

    def finished(self, patience_s: float = 0.0) -> bool:
        """Has the container ended? Waits at most `patience_s`."""
        if self._result is None:
            said = self._hear(patience_s)
            if said:
                self._finish(said)
        return self._result is not None

    def wait(self, timeout_s: float | None = None) -> Result:
        """The result, once the container has ended. Raises TimeoutError after `timeout_s`, LauncherDied if nobody will tell."""
        if self._result is None:
            said = self._hear(timeout_s)
            if not said:
                raise TimeoutError(f"container {self.name} is still running")
            self._finish(said)
        assert self._result is not None
        return self._result

    def close(self) -> None:
        """Let go of the pipes and of the container: hanging up ends it if it still runs."""
        for fd in (self.stdout_fd, self.stderr_fd):
            if fd >= 0:
                os.close(fd)
        self.stdout_fd = self.stderr_fd = -1
        self._conversation.close()

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _hear(self, patience_s: float | None) -> dict[str, Any]:
        """The monitor's next word; empty when it kept silent for `patience_s`."""
        poll = select.poll()
        poll.register(self._conversation, select.POLLIN)
        if not poll.poll(None if patience_s is None else max(0.0, patience_s) * 1000):
            return {}
        heard = messages.receive(self._conversation)
        if heard is None:
            raise LauncherDied("the container's monitor ended without a word", hint="was it killed, or is memory short?")
        return heard[0]

    def _finish(self, said: dict[str, Any]) -> None:
        if said["word"] != "exited":
            raise LauncherDied(f"the container's first process failed at {said['step']}: {said['text']}")
        files = {}
        for wanted, path in self._outputs.items():
            if wanted not in said["missing"]:
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
                    files[wanted] = file.read()
        if self._outputs:
            with contextlib.suppress(OSError):
                messages.send(self._conversation, "done")
        usage = Usage(
            wall_s=said["wall_s"], user_s=said["user_s"], system_s=said["system_s"], peak_memory_bytes=said["max_rss_bytes"],
            # A process starts as a copy of its parent, so nothing smaller than ours can be seen.
            peak_memory_is_floor=said["max_rss_bytes"] <= said["floor_bytes"] * 1.05,
        )  # fmt: skip
        self._result = Result(
            exit_code=said["exit_code"], signal=said["signal"], reason=said["reason"], usage=usage,
            container_id=self.container_id, name=self.name, image=(self.image.names or (self.image.short_id,))[0],
            image_id=str(self.image.id), image_digest=str(self.image.manifest_digest), mode=self.mode, files=files,
            warnings=self._warnings,
        )  # fmt: skip
        self._at_end(self._result)

    def gone(self, patience_s: float = 2.0) -> bool:
        """Wait until the monitor has cleaned up and hung up; False if it took longer than `patience_s`."""
        deadline = time.monotonic() + patience_s
        poll = select.poll()
        poll.register(self._conversation, select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            if messages.receive(self._conversation) is None:
                return True
        return False


def _explain(said: dict[str, Any]) -> LaunchError:
    """The newborn's complaint in Docker's words where it has them."""
    step, number, path, text = said["step"], said["errno"], said["path"], said["text"]
    if step == "exec" and number == 2:
        message, hint = _not_found(path, is_script=said.get("is_script", False))
    elif step == "exec" and number == 13:
        message, hint = f"{path}: permission denied", "the file is not executable for the container's user"
    elif step == "exec" and number == 8:
        message = f"{path}: exec format error"
        hint = "it is a program for another architecture, or a script without a #! line"
    elif step == "enter_workdir":
        message, hint = f"cannot enter the working directory {path}: {text.lower()}", "choose another with --workdir"
    else:
        where = f" ({path})" if path else ""
        message = f"container set-up failed at step {step}{where}: {text}"
        hint = "`pyck doctor` tells what this machine can do"
    return LaunchError(message, step=step, errno=number, path=path, hint=hint)


def _not_found(program: str, *, is_script: bool) -> tuple[str, str]:
    if is_script and program == "/bin/sh":
        return (
            "the image has no shell (sh), so a cell of several commands cannot run in it",
            "write one plain command, begin the body with a #! line, or name an interpreter with --entrypoint",
        )
    if is_script and program != "/dev/pyck/cell":
        return f"the image has neither a shell (sh) nor {program}", "check the spelling, or look for it in another image"
    if program == "/dev/pyck/cell":
        return "the interpreter on the body's #! line is not in the image", "check the path after #!"
    return (
        f'exec: "{program}": executable file not found in $PATH',
        "check the spelling, or look for the program in another image",
    )
