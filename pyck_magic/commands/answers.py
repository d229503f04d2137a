"""What verbs answer, with typed values; and what a verb needs from the face that asked.

Runs in: the notebook kernel, or the `pyck` command; NamedTuples, for the reason given in `options`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from pyck_magic.engine import Engine
    from pyck_magic.engine.pull import PullReport
    from pyck_magic.model.errors import PyckError
    from pyck_magic.model.events import PullEvent
    from pyck_magic.model.options import RunOptions
    from pyck_magic.model.result import Result

TableKind = Literal["images", "containers", "history", "tags", "volumes", "doctor", "info", "version"]
Watcher = Callable[["PullEvent"], None]


class Table(NamedTuple):
    """Rows of typed values: sizes are int bytes, times aware datetimes, what is not known None.

    `key` is the column that tells rows apart. `full` says that nothing is to be cut off.
    """

    kind: TableKind
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    key: str
    full: bool = False

    def dicts(self) -> list[dict[str, object]]:
        """Each row by column."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Lines(NamedTuple):
    """Lines for people or for scripts. `failures` are what went wrong with some of several things that were named."""

    lines: tuple[str, ...]
    failures: "tuple[PyckError, ...]" = ()


class Document(NamedTuple):
    """A value that is shown as JSON. `failures` are what went wrong with some of several things that were named."""

    value: object
    failures: "tuple[PyckError, ...]" = ()


class Pulled(NamedTuple):
    """A pull that went well. `reference` is the whole name."""

    report: "PullReport"
    reference: str
    quiet: bool = False


class Ran(NamedTuple):
    """A container that ran and ended."""

    result: "Result"


Answer = Table | Lines | Document | Pulled | Ran


class RunRequest(NamedTuple):
    """What `run` asks for. `command` is empty for the image's own."""

    image: str
    command: tuple[str, ...]
    options: "RunOptions"
    interactive: bool
    quiet: bool


class Face(Protocol):
    """Whoever asked: it shows a pull while it goes on, and lets a container read and write."""

    program: str
    """What people type before the verb: `pyck`, `%container`."""

    def watch(self, reference: str, *, quiet: bool) -> AbstractContextManager[Watcher | None]:
        """Show a pull from beginning to end."""

    def run(self, engine: "Engine", request: RunRequest) -> Ran:
        """Start the container, be its stdin, stdout and stderr, and wait for its end. Raises what `Engine.start` raises."""
