"""A pull on a terminal: bars while it moves, or one plain line per change of state where there is no terminal.

Runs in: the `pyck` command.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING

from pyck_magic.commands import draw
from pyck_magic.model.events import LayerProgress, Phase, PullEvent, PullNote, PullResolved

if TYPE_CHECKING:
    from rich.console import ConsoleRenderable

_REDRAW_S = 0.1
_OVER = (Phase.DONE, Phase.ALREADY_HERE, Phase.FAILED)
# What Docker says of a layer. It has no word for going on where an earlier pull ended.
_WORDS = {
    Phase.DOWNLOADING: "Pulling fs layer",
    Phase.VERIFYING: "Verifying Checksum",
    Phase.UNPACKING: "Extracting",
    Phase.ALREADY_HERE: "Already exists",
    Phase.DONE: "Pull complete",
    Phase.FAILED: "Failed",
}


def heading(reference: str) -> str:
    """Docker's first line: `latest: Pulling from library/alpine`. `reference` is familiar."""
    from pyck_magic.model.reference import Reference

    name = Reference.parse(reference)
    return f"{name.digest or name.tag}: Pulling from {name.repository}"


class PlainLines:
    """One line per change of state."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last: dict[int, tuple[Phase, str]] = {}

    def __call__(self, event: PullEvent) -> None:
        if isinstance(event, PullNote):
            self._say(draw.printable(event.text))
        elif isinstance(event, LayerProgress) and self._last.get(event.index) != (event.phase, event.note):
            self._last[event.index] = (event.phase, event.note)
            self._tell(event)

    def _tell(self, event: LayerProgress) -> None:
        if event.phase in _WORDS:
            words = _WORDS[event.phase]
            if event.phase == Phase.DOWNLOADING and event.resumed_from:
                words = f"Resuming at {draw.human_size(event.resumed_from)} of {draw.human_size(event.total_bytes)}"
            note = f" ({draw.printable(event.note)})" if event.note else ""
            self._say(f"{event.layer}: {words}{note}")


class _LayerState:
    """A layer's latest event, and since when its bytes have been flowing."""

    def __init__(self, layer: str, total_bytes: int) -> None:
        self.layer = layer
        self.phase = Phase.WAITING
        self.done_bytes = 0
        self.total_bytes = total_bytes
        self.note = ""
        self._since = 0.0
        self._from_bytes = 0

    def update(self, event: LayerProgress, now: float) -> None:
        if event.phase == Phase.DOWNLOADING and self.phase != Phase.DOWNLOADING:
            self._since, self._from_bytes = now, event.done_bytes
        self.phase, self.done_bytes, self.total_bytes, self.note = event.phase, event.done_bytes, event.total_bytes, event.note

    def rate(self, now: float) -> str:
        elapsed = now - self._since
        if self.phase != Phase.DOWNLOADING or elapsed < _REDRAW_S:
            return ""
        return f"{draw.human_size((self.done_bytes - self._from_bytes) / elapsed)}/s"


class Bars:
    """A row per layer: id, phase, bar, bytes, rate. What does not fit on the screen is summed up in one line.

    Drawn by whoever brings the event, ten times a second at most: no thread of its own, so that `run` may fork after it.
    """

    def __init__(self, stream: IO[str]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream)
        self._layers: list[_LayerState] = []
        self._drawn = 0.0
        self._live = Live(console=self._console, auto_refresh=False, get_renderable=self._table)

    def __enter__(self) -> "Bars":
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.refresh()
        self._live.stop()

    def __call__(self, event: PullEvent) -> None:
        now = time.monotonic()
        if isinstance(event, PullResolved):
            self._layers = [_LayerState(layer, size) for layer, size in event.layers]
        elif isinstance(event, PullNote):
            self._console.print(draw.printable(event.text), markup=False, highlight=False)
        else:
            self._layers[event.index].update(event, now)
        if now - self._drawn >= _REDRAW_S:
            self._drawn = now
            self._live.refresh()

    def _table(self) -> "ConsoleRenderable":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        now = time.monotonic()
        grid = Table.grid(padding=(0, 2))
        room = max(1, self._console.size.height - 3)
        shown = self._layers if len(self._layers) <= room else _most_telling(self._layers, room - 1)
        for layer in shown:
            done = layer.total_bytes if layer.phase in (Phase.DONE, Phase.ALREADY_HERE) else layer.done_bytes
            counts = f"{draw.human_size(done)}/{draw.human_size(layer.total_bytes)}"
            # Plain colours: rich's own green for a full bar is grey on a terminal of sixteen.
            color = "red" if layer.phase == Phase.FAILED else "cyan"
            bar = ProgressBar(
                total=max(1, layer.total_bytes), completed=done, width=24, complete_style=color, finished_style="green"
            )
            words = (Text(layer.layer), Text(layer.phase.value), bar, Text(counts), Text(layer.rate(now)))
            grid.add_row(*words, Text(draw.printable(layer.note)))
        if len(shown) < len(self._layers):
            hidden = [layer for layer in self._layers if layer not in shown]
            grid.add_row(Text(f"… {len(hidden)} more"), Text(_summary(hidden)))
        return grid


def _most_telling(layers: list[_LayerState], room: int) -> list[_LayerState]:
    """Those in motion first, then those that wait, in the image's order."""
    moving = [layer for layer in layers if layer.phase not in (*_OVER, Phase.WAITING)]
    rest = [layer for layer in layers if layer.phase == Phase.WAITING] + [layer for layer in layers if layer.phase in _OVER]
    chosen = (moving + rest)[:room]
    return [layer for layer in layers if layer in chosen]


def _summary(layers: list[_LayerState]) -> str:
    counts = {phase.value: sum(layer.phase == phase for layer in layers) for phase in Phase}
    return ", ".join(f"{count} {phase}" for phase, count in counts.items() if count)
