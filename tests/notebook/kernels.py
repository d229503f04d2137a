"""A real kernel without a browser: run a cell, see its messages.

Runs in:    tests and benchmarks.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import start_new_kernel

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Outputs:
    """What one cell sent, in order, each message with the seconds since the cell was sent."""

    messages: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    seconds: float = 0.0

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """The contents of the messages of these types."""
        return [content for _, kind, content in self.messages if kind in kinds]

    def text(self, stream: str = "stdout") -> str:
        """What was written to a stream."""
        return "".join(content["text"] for content in self.of("stream") if content["name"] == stream)

    @property
    def shown(self) -> list[str]:
        """The text/plain of every display, in order."""
        displays = self.of("display_data", "execute_result", "update_display_data")
        return [content["data"].get("text/plain", "") for content in displays]

    @property
    def error(self) -> str:
        """What a reader sees of an error, without colours; empty if there is none."""
        return _COLOURS.sub("", "\n".join(line for content in self.of("error") for line in content["traceback"]))


class Kernel:
    """A running ipykernel."""

    def __init__(self, folder: Path, home: Path, environment: Mapping[str, str], widgets: bool) -> None:
        env = {name: value for name, value in os.environ.items() if name != "JPY_SESSION_NAME"}
        env |= {"PYCK_HOME": str(home), **environment} | ({"JPY_SESSION_NAME": "test.ipynb"} if widgets else {})
        self.manager, self.client = start_new_kernel(kernel_name="python3", env=env, cwd=str(folder))
        self.folder = folder

    def run(self, code: str, *, when: Callable[[str, dict[str, Any]], bool] | None = None) -> Outputs:
        """Run a cell to its end. `when` sees every message until it has returned True once."""
        outputs, began = Outputs(), time.perf_counter()
        request = self.client.execute(code)
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=120)
            except Empty:
                raise AssertionError(f"the kernel is silent while it runs {code!r}") from None
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                outputs.seconds = time.perf_counter() - began
                return outputs
            outputs.messages.append((time.perf_counter() - began, kind, content))
            if when and when(kind, content):
                when = None

    def value(self, expression: str) -> str:
        """The repr of an expression."""
        result = self.run(expression)
        assert not result.error, result.error
        return result.shown[-1] if result.shown else "None"

    def interrupt(self) -> None:
        """Press the stop button."""
        self.manager.interrupt_kernel()


@contextmanager
def running_kernel(folder: Path, home: Path, *, widgets: bool = False, load: bool = True, **environment: str) -> Iterator[Kernel]:
    """A kernel whose notebook is in `folder`, ended afterwards. With `widgets` it believes in a front end that has them."""
    folder.mkdir(parents=True, exist_ok=True)
    kernel = Kernel(folder, home, environment, widgets)
    try:
        if load:
            kernel.run("%load_ext pyck_magic")
        yield kernel
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)
