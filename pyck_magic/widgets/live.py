"""The one widget we use: HTML that can be exchanged while a cell runs.

Runs in: the notebook kernel, the thread that runs the cell.
"""

from typing import Any

import ipywidgets


class LiveHtml:
    """A widget for as long as something moves. Close it when it is over: a saved notebook cannot show it again."""

    def __init__(self, html: str) -> None:
        self._widget = ipywidgets.HTML(value=html)

    @property
    def widget(self) -> Any:
        """What a front end displays."""
        return self._widget

    def change(self, html: str) -> None:
        """Show something else."""
        self._widget.value = html

    def close(self) -> None:
        """Take it away from the front end."""
        self._widget.close()
