"""From a container's pipes to the cell: live, in order, and never more than a browser can bear.

Runs in: the notebook kernel, main thread. It waits in poll(2) only, so that an interrupt arrives at once.

A message costs a browser as much as all text that the cell holds already. So messages are few: the first after 30 ms,
then ten a second on average. And the text is bounded: 512 kB as it comes, and in the end the last 64 kB. What lies between is in
the variable that captures it or in a log on disk; it is never even decoded.
"""

import codecs
import contextlib
import fcntl
import os
import select
import sys
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO, Protocol

from pyck_magic.magic.terminal_text import collapse, visible

OUT, ERR = "stdout", "stderr"
LIVE_BYTES, TAIL_BYTES = 512_000, 64_000
_FIRST_S, _MESSAGE_S, _SWITCHES = 0.03, 0.1, 10
_PIPE_BYTES = 1 << 20
_AFTER_END_S = 0.5
_LAST_WORDS = 4096
_LOGS_KEPT = 10


class Source(Protocol):
    """What the pump needs of a running container."""

    stdout_fd: int
    stderr_fd: int

    @property
    def conversation_fd(self) -> int: ...

    def finished(self) -> bool: ...


class Pump:
    """Reads both streams to their end. `shown` names those that appear in the cell, `captured` those kept whole.

    `log` is made when more is written than the cell shows. `elsewhere` says in words where all of a stream is, if not there.
    """

    def __init__(self, *, log: Path, shown: tuple[str, ...] = (OUT, ERR), captured: dict[str, str] | None = None) -> None:
        self.captured = {stream: bytearray() for stream in captured or {}}
        self._variables = captured or {}
        self._shown = shown
        self._log_path = log
        self._log: BinaryIO | None = None
        self._log_problem = ""
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in (OUT, ERR)}
        self._held = {OUT: "", ERR: ""}
        self._pending: list[tuple[str, bytes]] = []
        self._flush_at = 0.0
        self._earliest = 0.0
        self._live: list[tuple[str, bytes]] = []
        self._live_bytes = 0
        self._tail: deque[tuple[str, bytes]] = deque()
        self._tail_bytes = self._cut_bytes = 0
        self._last_words = b""
        self._open: dict[int, str] = {}

    @property
    def last_words(self) -> str:
        """The end of stderr, as text, however much there was."""
        return self._last_words.decode("utf-8", "replace")

    def follow(self, source: Source) -> None:
        """Pump until both streams end. KeyboardInterrupt leaves it ready to go on."""
        poll = select.poll()
        for fd, stream in ((source.stdout_fd, OUT), (source.stderr_fd, ERR)):
            if fd >= 0:
                with contextlib.suppress(OSError):
                    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
                self._open[fd] = stream
        self._pump(poll, source, give_up_at=None)

    def drain(self, source: Source, patience_s: float) -> None:
        """Take what is still in the pipes, waiting at most `patience_s` for their end."""
        self._pump(select.poll(), source, give_up_at=time.monotonic() + patience_s)

    def close(self) -> None:
        """Show what has not been shown yet: in the end, the end of what was too long."""
        self._flush(final=True)
        if self._log is not None:
            try:
                self._log.flush()
            except OSError as error:
                self._log_problem = error.strerror or str(error)
            self._drop_log()
        if self._cut_bytes:
            self._show_tail()

    def _pump(self, poll: "select.poll", source: Source, give_up_at: float | None) -> None:
        for fd in self._open:
            poll.register(fd, select.POLLIN)
        listening = give_up_at is None
        if listening:
            poll.register(source.conversation_fd, select.POLLIN)
        while self._open:
            now = time.monotonic()
            if give_up_at is not None and now >= give_up_at:
                return
            for fd, _event in poll.poll(self._patience(now, give_up_at)):
                if fd in self._open:
                    if not self._read(fd):
                        poll.unregister(fd)
                elif listening and source.finished():
                    # The pipes end with the container, unless somebody outside it was handed one of them.
                    poll.unregister(fd)
                    listening, give_up_at = False, time.monotonic() + _AFTER_END_S
            if self._pending and time.monotonic() >= self._flush_at:
                self._flush()

    def _patience(self, now: float, give_up_at: float | None) -> float | None:
        """How long poll may wait, in milliseconds."""
        until = [moment for moment in (self._flush_at if self._pending else None, give_up_at) if moment is not None]
        return max(0.0, min(until) - now) * 1000 + 0.5 if until else None

    def _read(self, fd: int) -> bool:
        """Take a chunk; False at the end of the stream."""
        try:
            chunk = os.read(fd, _PIPE_BYTES)
        except BlockingIOError:
            return True
        stream = self._open[fd]
        if not chunk:
            del self._open[fd]
            return False
        if stream == ERR:
            self._last_words = (self._last_words + chunk[-_LAST_WORDS:])[-_LAST_WORDS:]
        if stream in self.captured:
            self.captured[stream] += chunk
        if stream in self._shown:
            self._take(stream, chunk)
        return True

    def _take(self, stream: str, chunk: bytes) -> None:
        if not self._cut_bytes:
            room = LIVE_BYTES - self._live_bytes
            shown, rest = (chunk, b"") if len(chunk) <= room else (chunk[:room], chunk[room:])
            if shown:
                if not self._pending:
                    self._flush_at = max(time.monotonic() + _FIRST_S, self._earliest)
                self._pending.append((stream, shown))
                self._live.append((stream, shown))
                self._live_bytes += len(shown)
            if rest:
                self._flush()
                self._begin_log()
                self._cut(stream, rest)
        else:
            self._cut(stream, chunk)

    def _cut(self, stream: str, chunk: bytes) -> None:
        self._keep(chunk)
        self._cut_bytes += len(chunk)
        self._tail.append((stream, chunk[-TAIL_BYTES:]))
        self._tail_bytes += len(self._tail[-1][1])
        while self._tail_bytes - len(self._tail[0][1]) >= TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft()[1])

    def _begin_log(self) -> None:
        """Open the log with what has been shown so far; old logs make room."""
        folder = self._log_path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
            for old in logs[: max(0, len(logs) - _LOGS_KEPT + 1)]:
                old.unlink(missing_ok=True)
            self._log = self._log_path.open("wb")
        except OSError as error:
            self._log_problem = error.strerror or str(error)
        for _stream, chunk in self._live:
            self._keep(chunk)
        self._live.clear()

    def _keep(self, chunk: bytes) -> None:
        """Write to the log. A full disk ends the log, and not the cell: its program may be at work for hours."""
        if self._log is None:
            return
        try:
            self._log.write(chunk)
        except OSError as error:
            self._log_problem = error.strerror or str(error)
            self._drop_log()

    def _drop_log(self) -> None:
        if self._log is not None:
            with contextlib.suppress(OSError):
                self._log.close()
            self._log = None

    def _flush(self, *, final: bool = False) -> None:
        """Write what is pending, one message for each change of stream; the next ones wait the longer for it."""
        pieces = _merged(self._pending)
        self._pending = []
        messages = 0
        for stream, data in pieces:
            messages += self._say(stream, data)
        if final:
            for stream in (OUT, ERR):
                messages += self._say(stream, b"", final=True)
        self._earliest = time.monotonic() + _MESSAGE_S * messages

    def _say(self, stream: str, data: bytes, *, final: bool = False) -> bool:
        text = self._held[stream] + self._decoders[stream].decode(data, final)
        # What follows a carriage return may be a newline, or rewrite the line: that is known with the next piece.
        held = "\r" if text.endswith("\r") and not final else ""
        self._held[stream] = held
        text = visible(collapse(text[: len(text) - len(held)]))
        return _write(stream, text)

    def _show_tail(self) -> None:
        data = _merged(list(self._tail))
        excess = sum(len(chunk) for _, chunk in data) - TAIL_BYTES
        if excess > 0:
            stream, first = data[0]
            data[0] = (stream, first[excess:].partition(b"\n")[2] or first[excess:])
        kept = sum(len(chunk) for _, chunk in data)
        hidden = self._cut_bytes - kept
        if hidden > 0:
            _write(OUT, f"\n… {_megabytes(hidden)} more, {self._whereabouts()} …\n")
        for stream, chunk in data:
            _write(stream, visible(collapse(chunk.decode("utf-8", "replace"))))

    def _whereabouts(self) -> str:
        if all(stream in self._variables for stream in self._shown):
            return f"all of it in {' and '.join(self._variables[stream] for stream in self._shown)}"
        if self._log_problem:
            return f"which could not be kept in {self._log_path}: {self._log_problem}"
        return f"all of it in {self._log_path}"


def _merged(pieces: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Neighbours of the same stream as one; where the streams take turns too often, only their own order is kept."""
    runs: list[tuple[str, list[bytes]]] = []
    for stream, data in pieces:
        if runs and runs[-1][0] == stream:
            runs[-1][1].append(data)
        else:
            runs.append((stream, [data]))
    if len(runs) > _SWITCHES:
        runs = [(stream, [data for own, data in pieces if own == stream]) for stream in (OUT, ERR)]
    return [(stream, b"".join(chunks)) for stream, chunks in runs]


def _write(stream: str, text: str) -> bool:
    """Write to the stream the cell has now: %%capture and redirect_stdout exchange it. False when there was nothing."""
    if not text:
        return False
    target = getattr(sys, stream)
    target.write(text)
    target.flush()
    return True


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


