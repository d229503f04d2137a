"""Tables as lines of text, each kind in Docker's layout.

Runs in: the notebook kernel, or the `pyck` command.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pyck_magic.commands import draw
from pyck_magic.commands.answers import Table
from pyck_magic.commands.tables import quoted

Row = dict[str, Any]
_MARKS = {True: "ok", None: "limited", False: "missing"}
_MEMORY = ("Total Memory",)


def table_lines(table: Table, now: datetime | None = None) -> list[str]:
    """The lines a terminal shows. `now` is what ages are counted from."""
    if table.kind in ("info", "version"):
        return draw.fields([(str(row["name"]), _fact(row)) for row in table.dicts()])
    if table.kind == "doctor":
        return [line for row in table.dicts() for line in _check(row)]
    layout = _layout(table, now or datetime.now(UTC))
    rows = table.dicts()
    return draw.columns([head for head, _ in layout], [[cell(row) for _, cell in layout] for row in rows])


def _layout(table: Table, now: datetime) -> list[tuple[str, Callable[[Row], str]]]:
    """Heading and content of each column."""

    def age(row: Row) -> str:
        return draw.ago(row["created"], now)

    def size(row: Row) -> str:
        return draw.human_size(row["size"]) if row["size"] is not None else "N/A"

    def text(column: str, most: int = 0) -> Callable[[Row], str]:
        cut = most if not table.full else 0
        return lambda row: draw.shortened(str(row[column]), cut) if cut else str(row[column])

    if table.kind == "images":
        digest = [("DIGEST", text("digest"))] if "digest" in table.columns else []
        return [
            ("REPOSITORY", text("repository")), ("TAG", text("tag")), *digest, ("IMAGE ID", text("image_id")), ("CREATED", age),
            ("SIZE", size),
        ]  # fmt: skip
    if table.kind == "containers":
        return [
            ("CONTAINER ID", text("container_id")), ("IMAGE", text("image")),
            ("COMMAND", lambda row: quoted(row["command"], full=table.full)), ("CREATED", age),
            ("STATUS", lambda row: draw.status(row["status"], row["exit_code"], row["started"], row["finished"], now)),
            ("PORTS", lambda row: ""), ("NAMES", text("names")),
        ]  # fmt: skip
    if table.kind == "history":
        return [
            ("IMAGE", text("image")), ("CREATED", age), ("CREATED BY", text("created_by", 45)), ("SIZE", size),
            ("COMMENT", text("comment")),
        ]  # fmt: skip
    if table.kind == "volumes":
        return [("DRIVER", text("driver")), ("VOLUME NAME", text("volume_name"))]
    return [
        ("TAG", text("tag")), ("CREATED", age), ("SIZE", size), ("PLATFORMS", text("platforms")), ("DIGEST", text("digest")),
    ]  # fmt: skip


def _fact(row: Row) -> str:
    return draw.human_memory(row["value"]) if row["name"] in _MEMORY else str(row["value"])


def _check(row: Row) -> list[str]:
    lines = [f"{_MARKS[row['ok']]:<9}{row['subject']}: {row['found']}"]
    if row["ok"] is not True and row["consequence"]:
        lines.append(f"{'':9}so: {row['consequence']}")
    if row["fix"]:
        lines.append(f"{'':9}fix: {row['fix']}")
    return [draw.printable(line) for line in lines]
