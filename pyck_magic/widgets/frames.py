"""DataFrames from what containers print, and back.

Runs in: the notebook kernel.
"""

import csv
import io
import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd

_DTYPES = {"whole": ("int64", "Int64"), "number": ("float64", "float64"), "text": ("str", "str")}


def frame(columns: Sequence[str], kinds: Sequence[str], rows: Sequence[Sequence[object]]) -> pd.DataFrame:
    """A frame whose columns have the types named by `kinds` (whole, number, text), also when it is empty."""
    by_column: list[Sequence[object]] = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    series = {}
    for name, kind, values in zip(columns, kinds, by_column, strict=True):
        plain, nullable = _DTYPES[kind]
        dtype = nullable if any(value is None for value in values) else plain
        series[name] = pd.Series(list(values), dtype=dtype)
    return pd.DataFrame(series, columns=list(columns))


def read_separated(text: str, separator: str) -> pd.DataFrame:
    """A table whose first line names the columns. Raises ValueError in pandas' words."""
    if not text.strip():
        return pd.DataFrame()
    quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL  # nobody quotes in TSV, but quotes do occur
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            return pd.read_csv(io.StringIO(text), sep=separator, index_col=False, quoting=quoting)
        except pd.errors.ParserWarning:
            raise ValueError("the first line names fewer columns than the others have") from None


def is_frame(value: object) -> bool:
    """Is this a DataFrame?"""
    return isinstance(value, pd.DataFrame)


def records(value: Any) -> list[dict[str, Any]]:
    """The rows of a DataFrame as dictionaries; a named index is a column too."""
    shown = value.reset_index() if _names_rows(value) else value
    return [{str(name): cell for name, cell in row.items()} for row in shown.to_dict("records")]


def tab_separated(value: Any) -> str:
    """A DataFrame, or records, as a table with names in its first line. Only an index that has a name is written."""
    table = value if is_frame(value) else pd.DataFrame(value)
    return str(table.to_csv(sep="\t", index=_names_rows(table)))


def _names_rows(table: Any) -> bool:
    return any(name is not None for name in table.index.names)
