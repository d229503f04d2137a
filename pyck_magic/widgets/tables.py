"""Lists as DataFrames that look like Docker's: sizes and ages for the eye, bytes and timestamps for the program.

Runs in: the notebook kernel.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

Formatters = Mapping[str, Callable[[Any], str]]
_TIMES = ("created", "started", "finished")
_COUNTS = ("size", "exit_code")


class Listing(pd.DataFrame):  # type: ignore[misc]  # pandas ships no types here
    """A DataFrame that is shown through formatters. Whatever is made from it is a plain DataFrame."""

    _metadata = ["_formatters"]  # noqa: RUF012  # pandas' way to say which attributes are no columns

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return str(self._shown().to_string())

    def _repr_html_(self) -> str:
        return str(self._shown().to_html(border=0, max_rows=None))

    def _shown(self) -> pd.DataFrame:
        plain = pd.DataFrame(self)
        for column, formatter in self._formatters.items():
            if column in plain:
                plain[column] = pd.Series([formatter(value) for value in plain[column]], index=plain.index, dtype="str")
        return plain


def listing(columns: Sequence[str], rows: Sequence[Sequence[object]], index: str, formatters: Formatters) -> Listing:
    """A frame of typed rows. Times become aware timestamps, counts integers; `formatters` turn a value into what is seen."""
    plain = pd.DataFrame([list(row) for row in rows], columns=list(columns))
    for column in _TIMES:
        if column in plain:
            plain[column] = pd.to_datetime(plain[column], utc=True)
    for column in _COUNTS:
        if column in plain:
            plain[column] = plain[column].astype("int64" if plain[column].notna().all() else "Int64")
    made = Listing(plain.set_index(index))
    object.__setattr__(made, "_formatters", dict(formatters))
    return made


def is_missing(value: object) -> bool:
    """Is this one of pandas' ways to say that nobody knows?"""
    return bool(pd.isna(value))
