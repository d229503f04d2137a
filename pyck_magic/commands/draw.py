"""How values look in Docker's lists: sizes, ages, columns. Pure.

Runs in: the notebook kernel, or the `pyck` command.
"""

from collections.abc import Sequence
from datetime import datetime

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_MIN_WIDTH, _GAP = 10, 3

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def human_size(size: float, digits: int = 3) -> str:
    """Bytes in decimal units, as `docker images` has them: 4.26MB."""
    return _scaled(size, 1000, _UNITS, digits)


def human_memory(size: float, digits: int = 4) -> str:
    """Bytes in binary units, as `docker info` has them: 15.61GiB."""
    return _scaled(size, 1024, _BINARY_UNITS, digits)


def _scaled(size: float, base: int, units: Sequence[str], digits: int) -> str:
    # Rounding may reach the next unit: 999.6 kB is 1 MB, and not 1e+03kB.
    step = 0
    while step < len(units) - 1 and (size >= base or float(f"{size:.{digits}g}") >= base):
        size /= base
        step += 1
    return f"{size:.{digits}g}{units[step]}"


def human_duration(seconds: float) -> str:
    """A length of time in Docker's words: `About a minute`, `2 weeks`."""
    whole = int(max(0.0, seconds))
    hours = int(seconds / _HOUR + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < _MINUTE:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < _HOUR:
        return "About a minute" if whole < 2 * _MINUTE else f"{whole // _MINUTE} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    days = hours // 24
    for most, length, unit in ((14, 1, "days"), (60, 7, "weeks"), (730, 30, "months")):
        if days < most:
            return f"{days // length} {unit}"
    return f"{days // 365} years"


def ago(then: datetime | None, now: datetime) -> str:
    """`2 weeks ago`; `N/A` when nobody knows."""
    return f"{human_duration((now - then).total_seconds())} ago" if then is not None else "N/A"


def status(state: str, exit_code: int | None, started: datetime | None, finished: datetime | None, now: datetime) -> str:
    """The STATUS of `docker ps`: `Up 5 seconds`, `Exited (0) 2 minutes ago`, `Created`."""
    if state == "running":
        return f"Up {human_duration((now - started).total_seconds())}" if started else "Up"
    if state == "exited":
        code = "?" if exit_code is None else exit_code
        return f"Exited ({code}) {ago(finished, now)}" if finished else f"Exited ({code})"
    return state.capitalize()


def shortened(text: str, most: int) -> str:
    """At most this many characters, the last an ellipsis if something was cut off."""
    return text if len(text) <= most else text[: most - 1] + "…"


def printable(text: str) -> str:
    """The text without anything a terminal would obey: names and histories come from strangers."""
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return " " if letter in "\t\n" else letter.encode("unicode_escape").decode("ascii")


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table as Docker lays it out: columns at least ten wide, three blanks between them."""
    clean = [list(heads), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(_MIN_WIDTH, _GAP + max(len(row[number]) for row in clean)) for number in range(len(heads))]
    return [
        "".join(f"{cell:<{width}}" for cell, width in zip(row[:-1], widths[:-1], strict=True)) + row[-1] for row in clean
    ]


def fields(names_and_values: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of `name: value`."""
    return [f" {name}: {printable(value)}" for name, value in names_and_values]
