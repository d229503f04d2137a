"""Docker's grammar, written once: parser and call for every verb; the faces only draw.

Runs in:    the notebook kernel, or the `pyck` command.
May import: engine, model. Its lodger is rich (in the terminal face).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyck_magic.commands.answers import Answer, Document, Face, Lines, Pulled, Ran, RunRequest, Table
    from pyck_magic.commands.cell import Capture, CellRequest, FileBack, parse_cell
    from pyck_magic.commands.expand import split_line
    from pyck_magic.commands.grammar import Parsed, complete, parse
    from pyck_magic.commands.help import help_text
    from pyck_magic.commands.verbs import perform

_HOME_OF = {
    "Answer": "answers", "Document": "answers", "Face": "answers", "Lines": "answers", "Pulled": "answers", "Ran": "answers",
    "RunRequest": "answers", "Table": "answers", "Capture": "cell", "CellRequest": "cell", "FileBack": "cell",
    "parse_cell": "cell", "split_line": "expand", "Parsed": "grammar", "complete": "grammar", "parse": "grammar",
    "help_text": "help", "perform": "verbs",
}  # fmt: skip

__all__ = [
    "Answer", "Capture", "CellRequest", "Document", "Face", "FileBack", "Lines", "Parsed", "Pulled", "Ran", "RunRequest", "Table",
    "complete", "help_text", "parse", "parse_cell", "perform", "split_line",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # A fresh `pyck run` pays for every module it imports, so it imports only those it needs.
    if name in _HOME_OF:
        from importlib import import_module

        return getattr(import_module(f"pyck_magic.commands.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
