"""The stop button ends everything in the container, whatever it does about signals, and the kernel goes on."""

import contextlib
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Pulled
from tests.notebook.kernels import Kernel

BODIES = {
    "an obedient program": "echo ready; sleep 1000",
    "a program that is PID 1's only child": "echo ready; exec sleep 1000",
    "one that ignores SIGINT and SIGTERM": "trap '' INT TERM; echo ready; while :; do sleep 1000; done",
    "a flood": "echo ready; yes",
    "a flood that ignores SIGINT": "trap '' INT; echo ready; yes",
    "two hundred processes": "for i in $(seq 200); do sleep 1000 & done; echo ready; wait",
    "one in a session of its own": "setsid sleep 1000 & echo ready; wait",
}


def namespaces_of(mark: str) -> set[str]:
    """The PID namespaces of processes that have `mark` in their environment."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (process / "environ").read_bytes():
                found.add(os.readlink(process / "ns/pid"))
    return found


def processes_in(namespaces: set[str]) -> list[str]:
    """All processes in these PID namespaces."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(process / "ns/pid") in namespaces:
                found.append(process.name)
    return found


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_nothing_is_left_of_an_interrupted_cell(kernel: Kernel, pulled: Pulled, body: str) -> None:
    """One line says that it was stopped; no process, no folder, no record remains, and the next cell runs."""
    mark = f"MARK={uuid.uuid4()}"
    before: set[str] = set()

    def press_stop(kind: str, content: dict[str, Any]) -> bool:
        if kind == "stream" and "ready" in content["text"]:
            before.update(namespaces_of(mark))
            kernel.interrupt()
            return True
        return False

    outputs = kernel.run(f"%%container {{tiny}} -e {mark}\n{body}", when=press_stop)

    assert len(before) == 1, "the container was not seen while it ran"
    assert outputs.error.startswith("KeyboardInterrupt: stopped after "), outputs.error
    assert len(outputs.error.splitlines()) == 1
    eventually_empty(lambda: processes_in(before))
    eventually_empty(lambda: [path.name for path in (pulled.home / "containers").iterdir() if path.name != ".swept"])
    assert kernel.value("len(get_ipython().run_line_magic('container', 'ps -a'))") == "0"
    assert kernel.run("%%container {tiny}\necho next").text() == "next\n"


def eventually_empty(look: Any) -> None:
    """The kernel may take a moment to take a namespace down."""
    deadline = time.monotonic() + 10
    while left := look():
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_last_words_are_heard(kernel: Kernel) -> None:
    """What a program says when it is interrupted is shown."""

    def press_stop(kind: str, content: dict[str, Any]) -> bool:
        if kind == "stream":
            kernel.interrupt()
        return kind == "stream"

    outputs = kernel.run("%%container {tiny}\ntrap 'echo goodbye; exit 1' INT; echo ready; sleep 1000 & wait", when=press_stop)

    assert outputs.text() == "ready\ngoodbye\n"
    assert "(SIGINT)" in outputs.error


def test_stubborn_programs_are_told_apart(kernel: Kernel) -> None:
    """The line says what was needed."""

    def press_stop(kind: str, content: dict[str, Any]) -> bool:
        if kind == "stream":
            kernel.interrupt()
        return kind == "stream"

    outputs = kernel.run("%%container {tiny}\ntrap '' INT; echo ready; while :; do sleep 1000; done", when=press_stop)

    assert "(SIGINT, then SIGKILL)" in outputs.error


def test_a_second_press_does_not_wait(kernel: Kernel, pulled: Pulled) -> None:
    """Pressed twice in a row on a program that ignores it: one clear end, and the kernel goes on."""

    def press_twice(kind: str, content: dict[str, Any]) -> bool:
        if kind == "stream":
            kernel.interrupt()
            time.sleep(0.01)
            kernel.interrupt()
        return kind == "stream"

    outputs = kernel.run("%%container {tiny}\ntrap '' INT; echo ready; while :; do sleep 1000; done", when=press_twice)

    assert outputs.error.startswith("KeyboardInterrupt: stopped after")
    assert "SIGKILL" in outputs.error
    eventually_empty(lambda: [path.name for path in (pulled.home / "containers").iterdir() if path.name != ".swept"])


def test_what_was_captured_before_an_interrupt_is_kept(kernel: Kernel) -> None:
    """A variable of --out has what the cell had printed when it was stopped."""

    def press_stop(kind: str, content: dict[str, Any]) -> bool:
        if kind == "stream":
            kernel.interrupt()
        return kind == "stream"

    kernel.run("%%container {tiny} --out part --tee\necho begun; sleep 1000", when=press_stop)
    assert kernel.value("part") == repr("begun\n")
