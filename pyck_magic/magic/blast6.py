"""BLAST's tabular output (`-outfmt 6`, `7`, `10`): which columns it has, and what is in them. Pure.

Runs in: the notebook kernel.

Names, long names and the rules for lists of them follow the BLAST+ manual ("-outfmt" in "Options for the command-line
applications") and what blastp 2.12 prints for each.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pyck_magic.magic.bad_data import BadData

# name: (kind, what `# Fields:` calls it)
SPECIFIERS = {
    "qseqid": ("text", "query id"), "qgi": ("text", "query gi"), "qacc": ("text", "query acc."),
    "qaccver": ("text", "query acc.ver"), "qlen": ("whole", "query length"), "sseqid": ("text", "subject id"),
    "sallseqid": ("text", "subject ids"), "sgi": ("text", "subject gi"), "sallgi": ("text", "subject gis"),
    "sacc": ("text", "subject acc."), "saccver": ("text", "subject acc.ver"), "sallacc": ("text", "subject accs."),
    "slen": ("whole", "subject length"), "qstart": ("whole", "q. start"), "qend": ("whole", "q. end"),
    "sstart": ("whole", "s. start"), "send": ("whole", "s. end"), "qseq": ("text", "query seq"),
    "sseq": ("text", "subject seq"),
    "evalue": ("number", "evalue"), "bitscore": ("number", "bit score"), "score": ("whole", "score"),
    "length": ("whole", "alignment length"), "pident": ("number", "% identity"), "nident": ("whole", "identical"),
    "mismatch": ("whole", "mismatches"), "positive": ("whole", "positives"), "gapopen": ("whole", "gap opens"),
    "gaps": ("whole", "gaps"), "ppos": ("number", "% positives"), "frames": ("text", "query/sbjct frames"),
    "qframe": ("whole", "query frame"), "sframe": ("whole", "sbjct frame"), "btop": ("text", "BTOP"),
    "staxid": ("whole", "subject tax id"), "ssciname": ("text", "subject sci name"), "scomname": ("text", "subject com name"),
    "sblastname": ("text", "subject blast name"), "sskingdom": ("text", "subject super kingdom"),
    "staxids": ("text", "subject tax ids"), "sscinames": ("text", "subject sci names"),
    "scomnames": ("text", "subject com names"),
    "sblastnames": ("text", "subject blast names"), "sskingdoms": ("text", "subject super kingdoms"),
    "stitle": ("text", "subject title"), "salltitles": ("text", "subject titles"), "sstrand": ("text", "subject strand"),
    "qcovs": ("whole", "% query coverage per subject"), "qcovhsp": ("whole", "% query coverage per hsp"),
    "qcovus": ("whole", "% query coverage per uniq subject"),
}  # fmt: skip
STANDARD = (
    "qseqid", "sseqid", "pident", "length", "mismatch", "gapopen", "qstart", "qend", "sstart", "send", "evalue", "bitscore",
)  # fmt: skip
_BY_LONG_NAME = {long: name for name, (_, long) in SPECIFIERS.items()} | {"subject com names": "scomnames"}
# What `std` prints is called qaccver and saccver in the comments, and qseqid and sseqid by everybody.
_STANDARD_IN_COMMENTS = ("qaccver", "saccver", *STANDARD[2:])
_MISSING = {"N/A", ""}
_COMMENT = re.compile(
    r"# (BLAST processed|\w*BLAST\w* |Query: |Database: |Fields: |RID: |Subject: |Iteration: |PHI|Domain|\d+ hits found)"
)
_TABULAR = {"6": "\t", "7": "\t", "10": ","}


@dataclass(frozen=True, slots=True)
class Layout:
    """What one command's lines look like."""

    columns: tuple[str, ...] = STANDARD
    delimiter: str = "\t"


@dataclass(frozen=True, slots=True)
class Hits:
    """Hits by column; `kinds` says for each column whether it is text, whole or number. None is what BLAST prints as N/A."""

    columns: tuple[str, ...]
    kinds: tuple[str, ...]
    rows: list[list[object]]


def read(text: str, script: str = "") -> Hits:
    """The hits in what a cell printed. `script` is the cell's body: its `-outfmt` names the columns.

    Raises BadData with the line that does not fit.
    """
    asked = tuple(dict.fromkeys(layouts(script)))
    columns: tuple[str, ...] | None = None
    layout: Layout | None = None
    rows: list[list[object]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        if line.startswith("#") and _COMMENT.match(line):
            if line.startswith("# Fields: "):
                layout = Layout(_named(line.removeprefix("# Fields: ").split(", "), asked, number))
                columns = _same(columns, layout.columns, number)
            continue
        if layout is None:
            layout = _fitting(line, asked, number)
            columns = _same(columns, layout.columns, number)
        rows.append(_row(line, layout, number))
    if columns is None:
        columns = asked[0].columns if asked else STANDARD
    return Hits(columns, tuple(SPECIFIERS[name][0] if name in SPECIFIERS else "text" for name in columns), rows)


def layouts(script: str) -> Iterator[Layout]:
    """What each `-outfmt` in a script asks for, if it is tabular."""
    for words in _commands(script):
        for place, word in enumerate(words):
            wanted = None
            if word in ("-outfmt", "--outfmt") and place + 1 < len(words):
                wanted = words[place + 1]
            elif word.startswith(("-outfmt=", "--outfmt=")):
                wanted = word.partition("=")[2]
            if wanted is not None and (layout := _layout(wanted.split())):
                yield layout


def _commands(script: str) -> Iterator[list[str]]:
    """The words of each command line, as a shell would split them; a line that cannot be split has none."""
    joined = script.replace("\\\n", " ")
    for line in joined.splitlines():
        reader = shlex.shlex(line, posix=True, punctuation_chars=True)
        reader.whitespace_split = True
        try:
            yield list(reader)
        except ValueError:
            continue


def _layout(words: Sequence[str]) -> Layout | None:
    if not words or words[0] not in _TABULAR:
        return None
    delimiter = _TABULAR[words[0]]
    chosen: list[str] = []
    for word in words[1:]:
        if word.startswith("delim="):
            delimiter = word.removeprefix("delim=") or delimiter
        elif word == "std":
            chosen += STANDARD
        elif word.startswith("-"):
            chosen = [name for name in chosen if name != word[1:]]
        elif word in SPECIFIERS:
            chosen.append(word)
    # BLAST prints a column once, however often it is named, and leaves out names that it does not know.
    return Layout(tuple(dict.fromkeys(chosen)) or STANDARD, delimiter)


def _named(fields: Sequence[str], asked: Sequence[Layout], number: int) -> tuple[str, ...]:
    """Short names for BLAST's long ones; the names of the cell's `-outfmt` where it means the same columns."""
    columns = tuple(_BY_LONG_NAME.get(field.strip(), field.strip()) for field in fields)
    for layout in asked:
        if _in_comments(layout.columns) == _in_comments(columns):
            return layout.columns
    if columns[: len(_STANDARD_IN_COMMENTS)] == _STANDARD_IN_COMMENTS:
        columns = (*STANDARD, *columns[len(STANDARD) :])
    if len(set(columns)) < len(columns):
        raise BadData(number, "two fields have the same name")
    return columns


def _in_comments(columns: Sequence[str]) -> tuple[str, ...]:
    """Columns as the comments name them, so far as those tell them apart."""
    same = {"qaccver": "qseqid", "saccver": "sseqid", "scomname": "scomnames"}
    return tuple(same.get(name, name) for name in columns)


def _fitting(line: str, asked: Sequence[Layout], number: int) -> Layout:
    """Which of the layouts asked for this line has."""
    candidates = asked or (Layout(),)
    fitting = [layout for layout in candidates if len(line.split(layout.delimiter)) == len(layout.columns)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise BadData(number, "the cell asks for several tables with as many columns: print one of them into a file")
    expected = " or ".join(str(len(layout.columns)) for layout in candidates)
    has = len(line.split(candidates[0].delimiter))
    raise BadData(number, f"{has} columns where {expected} were expected: write -outfmt and its columns out, or use -outfmt 7")


def _same(before: tuple[str, ...] | None, now: tuple[str, ...], number: int) -> tuple[str, ...]:
    if before is not None and before != now:
        raise BadData(number, "the cell prints tables with different columns: print one of them into a file")
    return now


def _row(line: str, layout: Layout, number: int) -> list[object]:
    cells = line.split(layout.delimiter)
    if len(cells) != len(layout.columns):
        raise BadData(number, f"{len(cells)} columns where {len(layout.columns)} were expected")
    return [_value(name, cell, number) for name, cell in zip(layout.columns, cells, strict=True)]


def _value(name: str, cell: str, number: int) -> object:
    kind = SPECIFIERS[name][0] if name in SPECIFIERS else "text"
    if cell.strip() in _MISSING:
        return None
    try:
        if kind == "whole":
            return int(cell)
        if kind == "number":
            return float(cell)
    except ValueError:
        raise BadData(number, f"{name} is {cell.strip()[:40]!r}, which is no number") from None
    return cell
