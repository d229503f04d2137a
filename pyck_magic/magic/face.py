"""`%container` in a notebook: what verbs need, and their answers as DataFrames, text and values.

Runs in: the notebook kernel, main thread.
"""

import sys
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyck_magic.commands import Answer, Document, Lines, Pulled, Ran, RunRequest, Table, draw
from pyck_magic.magic import cell
from pyck_magic.magic.screen import Watcher, watching
from pyck_magic.model.errors import BadRequest, ContainerFailed

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pyck_magic.engine import Engine


class NotebookFace:
    """A cell's output as the face of `commands.perform`."""

    program = "%container"

    def __init__(self, shell: "InteractiveShell") -> None:
        self._shell = shell

    def watch(self, reference: str, *, quiet: bool) -> AbstractContextManager[Watcher | None]:
        """Show a pull from beginning to end."""
        return watching(self._shell, reference, quiet=quiet)

    def run(self, engine: "Engine", request: RunRequest) -> Ran:
        """Docker's `run` in a cell: nothing is shared, nothing asked on stdin. Raises ContainerFailed."""
        if request.interactive:
            raise BadRequest("a cell has no stdin to pass on", hint="use %%container -i NAME, or pyck run -i on a terminal")
        seen = cell.run(self._shell, engine, request.image, request.command or None, request.options, quiet=request.quiet)
        self._shell.user_ns["_exit_code"] = seen.result.exit_code
        if not request.quiet:
            cell.receipt(seen.result)
        if seen.result.exit_code:
            raise ContainerFailed(cell.failure(seen.result, seen.last_words), result=seen.result)
        return Ran(seen.result)


class TextLines(list[str]):
    """Lines that show themselves as text, and are a list for the program."""

    def __repr__(self) -> str:
        return "\n".join(self)


def value_of(answer: Answer, *, on_terminal: bool = False) -> object:
    """What a line magic returns: a frame, lines, a document; None for what has been shown already. Raises the first failure."""
    if isinstance(answer, Table):
        return _frame(answer)
    if isinstance(answer, Document):
        if answer.failures:
            raise answer.failures[0]
        return answer.value
    if isinstance(answer, Lines):
        if answer.failures:
            for line in answer.lines:
                sys.stdout.write(f"{line}\n")
            for failure in answer.failures[1:]:
                sys.stderr.write(f"{failure}\n")
            raise answer.failures[0]
        return TextLines(answer.lines) if answer.lines else None
    if isinstance(answer, Pulled) and answer.quiet:
        sys.stdout.write(f"{answer.reference}\n")
    elif isinstance(answer, Pulled) and on_terminal:
        # A board in a cell has said this already; bars on a terminal have not.
        sys.stdout.write(f"Digest: {answer.report.digest}\n")
    return None


def _frame(table: Table) -> object:
    from pyck_magic.widgets import tables

    now = datetime.now(UTC)

    def known(draw_it: Any) -> Any:
        return lambda value: "" if tables.is_missing(value) else draw_it(value)

    looks = {
        "size": known(draw.human_size), "exit_code": known(str), "created_by": known(_cut(table, 60)),
        "digest": known(_cut(table, 19)), "command": known(_cut(table, 40)),
        "ok": lambda ok: {True: "ok", False: "missing"}.get(ok, "limited"),
    }  # fmt: skip
    looks |= {column: known(lambda when: draw.ago(when.to_pydatetime(), now)) for column in ("created", "started", "finished")}
    return tables.listing(table.columns, table.rows, table.key, looks)


def _cut(table: Table, most: int) -> Any:
    return lambda text: draw.printable(text if table.full else draw.shortened(text, most))
