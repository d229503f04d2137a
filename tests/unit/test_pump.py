"""From pipes to a cell: every byte accounted for, few messages, the order kept. Real pipes, no container."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from pyck_magic.magic.pump import ERR, LIVE_BYTES, OUT, TAIL_BYTES, Pump

MIB = 1 << 20


class Pipes:
    """Stands in for a running container: two pipes, and a conversation that says nothing until `say_end`."""

    def __init__(self) -> None:
        self.stdout_fd, self.out = os.pipe()
        self.stderr_fd, self.err = os.pipe()
        self.conversation_fd, self._voice = os.pipe()
        for fd in (self.stdout_fd, self.stderr_fd):
            os.set_blocking(fd, False)

    def finished(self) -> bool:
        return True

    def hang_up(self) -> None:
        for fd in (self.out, self.err):
            os.close(fd)
        self.out = self.err = -1

    def say_end(self) -> None:
        os.write(self._voice, b"!")

    def close(self) -> None:
        for fd in (self.stdout_fd, self.stderr_fd, self.conversation_fd, self._voice, self.out, self.err):
            if fd >= 0:
                os.close(fd)


class Cell:
    """Stands in for the kernel's streams: a list of messages, one per flush."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """As while a cell runs: sys.stdout and sys.stderr are ours."""
        with redirect_stdout(_Stream(OUT, self.messages)), redirect_stderr(_Stream(ERR, self.messages)):
            yield

    def text(self, *streams: str) -> str:
        return "".join(text for stream, text in self.messages if stream in (streams or (OUT, ERR)))


class _Stream(io.StringIO):
    def __init__(self, name: str, messages: list[tuple[str, str]]) -> None:
        super().__init__()
        self._name, self._messages = name, messages

    def flush(self) -> None:
        if text := self.getvalue():
            self._messages.append((self._name, text))
            self.seek(0)
            self.truncate()


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    made = Pipes()
    yield made
    made.close()


@pytest.fixture
def cell() -> Cell:
    return Cell()


def pumped(pipes: Pipes, cell: Cell, pump: Pump, write: Callable[[], None]) -> None:
    """Pump what `write` writes in a thread, to the end."""

    def write_and_end() -> None:
        write()
        pipes.hang_up()

    writer = threading.Thread(target=write_and_end)
    writer.start()
    with cell.running():
        pump.follow(pipes)
        pump.close()
    writer.join()


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def test_torn_characters_are_made_whole(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """A character that arrives in two pieces, in two flushes, is shown as one, and what follows is not lost."""
    shown = threading.Event()

    def write() -> None:
        os.write(pipes.out, b"before \xe2")
        shown.wait(0.2)
        os.write(pipes.out, b"\x82\xac after\n")

    pumped(pipes, cell, Pump(log=tmp_path / "log"), write)

    assert cell.text() == "before € after\n"


def test_bytes_that_are_no_text_are_shown_as_such(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """Noise becomes U+FFFD in the cell and stays itself in the capture."""
    noise = bytes(range(256))
    pump = Pump(log=tmp_path / "log", captured={OUT: "x"})
    pumped(pipes, cell, pump, lambda: write_all(pipes.out, noise))

    assert bytes(pump.captured[OUT]) == noise
    assert "\ufffd" in cell.text()
    assert "\x00" not in cell.text()


def test_the_order_of_the_streams_is_kept(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """What was written in turns appears in turns."""
    turn = threading.Event()

    def write() -> None:
        for number in range(3):
            os.write(pipes.out, b"out %d\n" % number)
            turn.wait(0.02)
            os.write(pipes.err, b"err %d\n" % number)
            turn.wait(0.02)

    pumped(pipes, cell, Pump(log=tmp_path / "log"), write)

    assert cell.text().split("\n")[:-1] == [f"{stream} {number}" for number in range(3) for stream in ("out", "err")]
    assert cell.text(ERR) == "err 0\nerr 1\nerr 2\n"


def test_a_flood_is_cut_in_the_cell_and_whole_in_the_log(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """Of 20 MiB the cell shows the beginning and the end in a handful of messages, and says where all of it is."""
    flood = b"".join(b"line %d\n" % number for number in range(2 * MIB))
    pumped(pipes, cell, Pump(log=tmp_path / "logs" / "x.log"), lambda: write_all(pipes.out, flood))

    text = cell.text()
    assert (tmp_path / "logs" / "x.log").read_bytes() == flood
    assert text.startswith("line 0\nline 1\n")
    assert text.endswith(f"line {2 * MIB - 1}\n")
    assert len(text) < LIVE_BYTES + TAIL_BYTES + 200
    assert text.count("…") == 2
    assert f"{(len(flood) - len(text)) / 1e6:.1f}" in text.partition("… ")[2][:20]
    assert str(tmp_path / "logs" / "x.log") in text
    assert len(cell.messages) <= 12


def test_a_captured_flood_loses_nothing_and_shows_nothing(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """`--out` has every byte; without `--tee` the cell stays empty and no log is needed."""
    flood = os.urandom(MIB) * 8
    pump = Pump(log=tmp_path / "log", shown=(ERR,), captured={OUT: "x"})
    pumped(pipes, cell, pump, lambda: write_all(pipes.out, flood))

    assert bytes(pump.captured[OUT]) == flood
    assert cell.messages == []
    assert not (tmp_path / "log").exists()


def test_many_small_writes_are_few_messages(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """A line every millisecond: at most ten messages a second (and the first, and the last), however long it takes."""
    pause = threading.Event()
    began = time.monotonic()

    def write() -> None:
        for number in range(600):
            os.write(pipes.out, b"%d\n" % number)
            pause.wait(0.001)

    pumped(pipes, cell, Pump(log=tmp_path / "log"), write)

    assert cell.text() == "".join(f"{number}\n" for number in range(600))
    assert len(cell.messages) <= 10 * (time.monotonic() - began) + 2


def test_a_progress_bar_is_rewritten_not_repeated(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """Of ten thousand rewrites of a line, some states and the last are sent."""
    bar = b"".join(b"\r%5d/10000" % number for number in range(1, 10001))
    pumped(pipes, cell, Pump(log=tmp_path / "log"), lambda: write_all(pipes.out, bar + b"\r\n"))

    assert len(cell.text()) < 1000
    assert cell.text().endswith("10000/10000\n")


def test_the_last_words_of_stderr_are_remembered(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """Why a program failed is known also when its stderr was long."""
    pump = Pump(log=tmp_path / "log")
    pumped(pipes, cell, pump, lambda: write_all(pipes.err, b"x" * MIB + b"\nthe reason\n"))

    assert pump.last_words.splitlines()[-1] == "the reason"


def test_a_pipe_that_somebody_else_holds_does_not_hold_the_cell(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """When the container has ended the cell ends, though a descriptor of its pipe is still open somewhere."""
    os.write(pipes.out, b"done\n")
    pipes.say_end()
    pump = Pump(log=tmp_path / "log")
    with cell.running():
        pump.follow(pipes)
        pump.close()

    assert cell.text() == "done\n"


def test_old_logs_make_room(pipes: Pipes, cell: Cell, tmp_path: Path) -> None:
    """Logs of floods do not fill the disk: the ten newest stay."""
    for number in range(15):
        (tmp_path / f"{number}.log").touch()
        os.utime(tmp_path / f"{number}.log", (number, number))
    pumped(pipes, cell, Pump(log=tmp_path / "new.log"), lambda: write_all(pipes.out, b"x" * MIB))

    assert {path.name for path in tmp_path.glob("*.log")} == {"new.log", *(f"{number}.log" for number in range(6, 15))}


@pytest.mark.parametrize(("where", "reason"), [("full.log", "No space left"), ("file/x.log", "exists")])
def test_a_log_that_cannot_be_written_does_not_end_the_cell(
    pipes: Pipes, cell: Cell, tmp_path: Path, where: str, reason: str
) -> None:
    """On a full disk, or where there is no folder for it, the output goes on and the cell says what is missing."""
    (tmp_path / "full.log").symlink_to("/dev/full")
    (tmp_path / "file").touch()
    log = tmp_path / where
    pumped(pipes, cell, Pump(log=log), lambda: write_all(pipes.out, b"x\n" * MIB + b"end\n"))

    assert cell.text().endswith("end\n")
    assert f"could not be kept in {log}: " in cell.text() and reason in cell.text()


def test_an_interrupt_arrives_while_nothing_is_written(tmp_path: Path) -> None:
    """The pump waits in poll(2), from which a signal gets it out."""
    code = f"""
import os, signal, threading
from pyck_magic.magic.pump import Pump
from tests.unit.test_pump import Pipes
from pathlib import Path
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    Pump(log=Path({str(tmp_path / "log")!r})).follow(Pipes())
except KeyboardInterrupt:
    os.write(1, b"interrupted")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20)

    assert done.stdout == b"interrupted", done.stderr
