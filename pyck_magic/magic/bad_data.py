"""What readers of formats say when a line does not fit.

Runs in: the notebook kernel.
"""


class BadData(ValueError):
    """A line that is not what its format promises. Whoever knows where the data came from makes an error for people of it."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
