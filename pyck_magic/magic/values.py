"""Python values into files for a container, and its output into Python values.

Runs in: the notebook kernel. DataFrames are recognised without importing pandas: whoever has one has imported it.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyck_magic.magic import blast6, fasta
from pyck_magic.magic.bad_data import BadData
from pyck_magic.model.errors import BadRequest

_SEQUENCE_COLUMNS = {"id", "sequence"}


def to_file(value: object, name: str) -> bytes | Path:
    """What a container finds under `$NAME`.

    str and bytes as they are; a Path stands for its file; a DataFrame or a list of dicts is written as TSV with a header,
    or as FASTA when it has `id` and `sequence`; Biopython's SeqRecords as FASTA; a list of str or a Series as lines; other
    dicts and lists, numbers and None as JSON. Raises BadRequest for anything else.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, os.PathLike):
        return _existing(Path(value), name)
    if _is_frame(value):
        from pyck_magic.widgets import frames

        if {str(column) for column in value.columns} >= _SEQUENCE_COLUMNS:  # type: ignore[attr-defined]
            return fasta.write(frames.records(value)).encode()
        return frames.tab_separated(value).encode()
    if "pandas" in sys.modules and isinstance(value, sys.modules["pandas"].Series):
        return "".join(f"{one}\n" for one in value).encode()
    if _is_sequence_record(value):
        return fasta.write([_of_sequence_record(value)]).encode()
    if isinstance(value, list | tuple) and value:
        written = _records(value)
        if written is not None:
            return written.encode()
    if isinstance(value, Mapping | list | tuple | int | float | None):
        return _json(value, name)
    raise BadRequest(
        f"-i {name}: a {type(value).__name__} cannot be handed in",
        hint="str, bytes, Path, DataFrame, list of records, or whatever JSON can hold",
    )


def _records(values: Sequence[Any]) -> str | None:
    """Lists that are more than JSON: records, sequences, lines."""
    if all(_is_sequence_record(value) for value in values):
        return fasta.write(map(_of_sequence_record, values))
    if all(isinstance(value, str) for value in values):
        return "".join(f"{line}\n" for line in values)
    if all(isinstance(value, Mapping) for value in values):
        if all(value.keys() >= _SEQUENCE_COLUMNS for value in values):
            return fasta.write(values)
        from pyck_magic.widgets import frames

        return frames.tab_separated(values)
    return None


def _existing(path: Path, name: str) -> Path:
    absolute = path.expanduser().absolute()
    if not absolute.is_file():
        what = "is a directory" if absolute.is_dir() else "does not exist"
        raise BadRequest(f"-i {name}: {path} {what}", hint="a Path stands for one file; directories come in with -v")
    return absolute


def _json(value: object, name: str) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise BadRequest(f"-i {name}: {error}", hint="hand in str or bytes, made the way the program wants them") from None


def _is_frame(value: object) -> bool:
    return "pandas" in sys.modules and isinstance(value, sys.modules["pandas"].DataFrame)


def _is_sequence_record(value: object) -> bool:
    return not isinstance(value, Mapping) and all(hasattr(value, part) for part in ("id", "seq", "description"))


def _of_sequence_record(value: Any) -> dict[str, object]:
    return {"id": value.id, "description": value.description, "sequence": str(value.seq)}


def from_bytes(data: bytes, format_name: str, *, origin: str, script: str = "") -> object:
    """The value of captured bytes in every format but `path`. `origin` is how errors name it, `script` the cell's body.

    `text` str, `bytes` bytes, `lines` list of str, `json` whatever it holds, `csv` and `tsv` DataFrames, `fasta` a DataFrame
    (id, description, sequence), `blast6` a DataFrame with BLAST's column names. Raises BadRequest, naming the line.
    """
    if format_name == "bytes":
        return data
    text = data.decode("utf-8", "replace")
    if format_name == "text":
        return text
    if format_name == "lines":
        return text.splitlines()
    try:
        return _parse(text, format_name, script)
    except BadData as error:
        raise BadRequest(f"{origin}: no {format_name} in line {error.line}: {error}", hint=_HINT) from None
    except json.JSONDecodeError as error:
        raise BadRequest(f"{origin}: no json in line {error.lineno}: {error.msg.lower()}", hint=_HINT) from None
    except ValueError as error:
        raise BadRequest(f"{origin}: no {format_name}: {str(error).strip()}", hint=_HINT) from None


_HINT = "the variable has the text as it was printed"


def _parse(text: str, format_name: str, script: str) -> object:
    if format_name == "json":
        return json.loads(text)
    from pyck_magic.widgets import frames

    if format_name in ("csv", "tsv"):
        return frames.read_separated(text, "," if format_name == "csv" else "\t")
    if format_name == "fasta":
        return frames.frame(("id", "description", "sequence"), ("text",) * 3, fasta.read(text))
    if format_name == "blast6":
        hits = blast6.read(text, script)
        return frames.frame(hits.columns, hits.kinds, hits.rows)
    raise ValueError(f"unknown format {format_name!r}")


def to_path(data: bytes, path: Path) -> Path:
    """Write captured bytes to a file, whole or not at all. Raises BadRequest when it cannot be written."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadRequest(f"cannot write {path}: {error.strerror}", hint="choose another directory, or another format") from error
    return path
