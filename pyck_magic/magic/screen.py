"""Where a cell's displays go: a front end with widgets, a terminal, or a file that is read later.

Runs in: the notebook kernel, main thread.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from IPython.display import display

from pyck_magic.model.events import PullEvent

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pyck_magic.widgets.live import LiveHtml

Watcher = Callable[[PullEvent], None]
# Set by whoever shows widgets: Jupyter's server for a kernel with a session, VS Code, Colab. Not by nbclient or papermill.
_WITH_WIDGETS = ("JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD", "COLAB_RELEASE_TAG")


def has_widgets(shell: "InteractiveShell") -> bool:
    """Is there a front end that shows widgets while a cell runs?"""
    return hasattr(shell, "kernel") and any(os.environ.get(name) for name in _WITH_WIDGETS)


def on_terminal(shell: "InteractiveShell") -> bool:
    """Is this IPython on a terminal, without a kernel?"""
    return not hasattr(shell, "kernel") and sys.stdout.isatty()


class CellScreen:
    """One place in a cell's output: a widget while something moves, static HTML in the same place afterwards."""

    def __init__(self, shell: "InteractiveShell") -> None:
        self._moves = has_widgets(shell)
        self._live: LiveHtml | None = None
        self._place: Any = None

    def show_live(self, html: str) -> None:
        """Show what moves; nothing where only what stays is read."""
        if not self._moves:
            return
        if self._live is None:
            from pyck_magic.widgets.live import LiveHtml

            self._live = LiveHtml(html)
            self._place = display(self._live.widget, display_id=True)
        else:
            self._live.change(html)

    def show_final(self, html: str, text: str) -> None:
        """Exchange it for what needs no kernel, no script and no widget state."""
        bundle = {"text/html": html, "text/plain": text}
        if self._live is not None:
            self._place.update(bundle, raw=True)
            self._live.close()
            self._live = None
        else:
            display(bundle, raw=True)


@contextlib.contextmanager
def watching(shell: "InteractiveShell", reference: str, *, quiet: bool) -> Iterator[Watcher | None]:
    """Show a pull, in the way that fits where the cell runs."""
    if quiet:
        yield None
    elif on_terminal(shell):
        from pyck_magic.commands.progress import Bars

        with Bars(sys.stdout) as bars:
            yield bars
    else:
        from pyck_magic.widgets.board import Board

        with Board(reference, CellScreen(shell)) as board:
            yield board


def show(bundle: dict[str, str], metadata: dict[str, object] | None = None) -> None:
    """Display something static, given as MIME types."""
    display(bundle, raw=True, metadata=metadata or {})
