"""The pull board: one bar a layer while an image comes, and a table of facts when it is here.

Runs in: the notebook kernel. Events are taken from any thread; only the thread that made the board draws.
"""

import threading
import time
from types import TracebackType
from typing import Protocol

from pyck_magic.model.events import LayerProgress, Phase, PullEvent, PullNote, PullResolved
from pyck_magic.widgets import board_html
from pyck_magic.widgets.board_html import LayerState, PullState

_PATIENCE_S = 0.3
_DRAW_S = 0.125


class Screen(Protocol):
    """Where a board appears: a place in a cell's output that can be filled again."""

    def show_live(self, html: str) -> None:
        """Show, or exchange, what moves. Does nothing where nothing can move."""

    def show_final(self, html: str, text: str) -> None:
        """Put what stays in its place."""


class Board:
    """Watches one pull. Nothing is shown of one that takes less than 0.3 s but what it comes to."""

    def __init__(self, reference: str, screen: Screen) -> None:
        self._screen = screen
        self._state = PullState(reference, began=time.monotonic())
        self._lock = threading.Lock()
        self._thread = threading.get_ident()
        self._draw_at = self._state.began + _PATIENCE_S

    def __call__(self, event: PullEvent) -> None:
        """Take an event, and draw if it is time."""
        now = time.monotonic()
        with self._lock:
            self._note(event, now)
        if now >= self._draw_at and threading.get_ident() == self._thread:
            self._draw_at = now + _DRAW_S
            self._screen.show_live(board_html.live(self._state, now))

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave a table that needs nobody any more. A pull that found nothing out leaves nothing."""
        now = time.monotonic()
        with self._lock:
            self._state.interrupted = kind is not None and not self._state.is_complete
            if self._state.layers or self._state.digest:
                self._screen.show_final(board_html.final(self._state, now), board_html.final_text(self._state, now))

    def _note(self, event: PullEvent, now: float) -> None:
        state = self._state
        if isinstance(event, PullResolved):
            state.digest, state.platform, state.served_by = event.digest, event.platform, event.served_by
            state.layers = [LayerState(layer, size) for layer, size in event.layers]
        elif isinstance(event, PullNote):
            state.note = event.text
        elif isinstance(event, LayerProgress) and event.index < len(state.layers):
            layer = state.layers[event.index]
            if event.phase == Phase.DOWNLOADING and layer.phase != Phase.DOWNLOADING:
                layer.since, layer.from_bytes = now, event.done_bytes
            layer.phase, layer.done_bytes, layer.total_bytes = event.phase, event.done_bytes, event.total_bytes
            layer.resumed_from = event.resumed_from or layer.resumed_from
            layer.note = event.note
