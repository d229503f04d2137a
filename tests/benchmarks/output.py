"""A cell's output beside `%%bash`, the stop button, and what loading the extension costs: in a real kernel.

    python -m tests.benchmarks output
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

from pyck_magic import Engine
from tests.benchmarks.harness import Contestant, Table, race
from tests.images.build import ready
from tests.images.registry import Registry
from tests.notebook.kernels import Kernel, running_kernel

FLOOD = "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456 | head -c"
STUBBORN = {
    "obeys": "echo ready; sleep 1000",
    "ignores SIGINT": "trap '' INT TERM; echo ready; while :; do sleep 1000; done",
    "floods": "echo ready; yes",
    "ignores SIGINT and floods": "trap '' INT; echo ready; yes",
}


def tables() -> Iterator[Table]:
    """The tables of this benchmark."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pyck-bench-", ignore_cleanup_errors=True)))
        registry = stack.enter_context(Registry(ready().registry_root, read_only=True))
        image = f"{registry.address}/tiny"
        with Engine(scratch / "home") as engine:
            engine.pull(image)
        kernel = stack.enter_context(running_kernel(scratch / "notebook", scratch / "home"))
        kernel.run(f"%%container {image}\ntrue")
        yield flood(kernel, image)
        yield interrupts(kernel, image)
        yield loading(scratch)


def flood(kernel: Kernel, image: str) -> Table:
    """100 MB through us; %%bash gets 1 MB of it, for all of it would take many minutes."""
    table = Table("", ours="%%container", unit="s", factor=1.0, goals={"%%bash, 1 MB": 0.1})
    messages: list[int] = []

    def cell(code: str) -> Contestant:
        def run() -> float:
            outputs = kernel.run(code)
            assert not outputs.error, outputs.error
            if code.startswith("%%container"):
                messages.append(len(outputs.of("stream")))
            return outputs.seconds

        return run

    contestants = {
        "%%container": cell(f"%%container {image}\n{FLOOD} 100000000"),
        "%%container --out": cell(f"%%container {image} --out flood:bytes\n{FLOOD} 100000000"),
        "%%bash, 1 MB": cell(f"%%bash\n{FLOOD} 1000000"),
    }
    race(table, contestants, rounds=3, warm_up=0)
    table.title = f"A cell that prints 100 MB (ours: at most {max(messages)} messages)"
    return table


def interrupts(kernel: Kernel, image: str) -> Table:
    """From the stop button to an idle kernel."""
    table = Table("Stop button to idle kernel", ours="obeys")
    race(table, {name: stop(kernel, image, body) for name, body in STUBBORN.items()}, rounds=10)
    return table


def stop(kernel: Kernel, image: str, body: str) -> Callable[[], float]:
    """Start a cell, wait until its program says that it is ready, press the button."""

    def run() -> float:
        pressed = [0.0]

        def press(kind: str, content: dict[str, Any]) -> bool:
            if kind == "stream" and "ready" in content["text"]:
                pressed[0] = perf_counter()
                kernel.interrupt()
                return True
            return False

        outputs = kernel.run(f"%%container {image}\n{body}", when=press)
        took = perf_counter() - pressed[0]
        assert "stopped after" in outputs.error, outputs.error
        return took

    return run


def loading(scratch: Path) -> Table:
    """`%load_ext pyck_magic` in fresh kernels, beside an empty cell and an extension of IPython's own."""
    table = Table("%load_ext pyck_magic in a fresh kernel", ours="%load_ext pyck_magic")
    cells = ("%load_ext pyck_magic", "%load_ext autoreload", "# an empty cell")
    race(table, {code: first_cell(scratch, code) for code in cells}, rounds=5, warm_up=0)
    return table


def first_cell(scratch: Path, code: str) -> Callable[[], float]:
    """The seconds of one cell in a kernel that has run another first."""

    def run() -> float:
        with running_kernel(scratch / "notebook", scratch / "home", load=False) as kernel:
            kernel.run("1 + 1")
            return kernel.run(code).seconds

    return run
