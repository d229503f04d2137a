"""BLAST's tabular output becomes columns with names and types. The long names are what blastp 2.12.0 prints."""

import pytest

from pyck_magic.magic import blast6
from pyck_magic.magic.bad_data import BadData
from pyck_magic.magic.values import from_bytes
from pyck_magic.model.errors import BadRequest

HIT = "q1\ts1\t98.50\t146\t2\t0\t1\t146\t1\t146\t3.46e-111\t298\n"
FIELDS = (
    "# Fields: query acc.ver, subject acc.ver, % identity, alignment length, mismatches, gap opens, q. start, q. end, s. start,"
    " s. end, evalue, bit score\n"
)
COMMENTS = "# BLASTP 2.12.0+\n# Query: q1 a protein, # and all\n# Database: db\n"


def test_the_default_has_the_twelve_columns_and_their_types() -> None:
    """`-outfmt 6` without more: twelve columns, numbers as numbers."""
    hits = blast6.read(HIT)

    assert hits.columns == blast6.STANDARD
    assert hits.rows == [["q1", "s1", 98.5, 146, 2, 0, 1, 146, 1, 146, 3.46e-111, 298.0]]


@pytest.mark.parametrize(
    ("script", "columns"),
    [
        ('blastp -outfmt "6 qseqid sseqid qcovs"', ("qseqid", "sseqid", "qcovs")),
        ("blastp -outfmt '7 qseqid evalue' -query x", ("qseqid", "evalue")),
        ('blastp -query x \\\n  -outfmt \\\n "6 qseqid stitle"', ("qseqid", "stitle")),
        ('cat a | blastp -outfmt "6 qseqid"|sort', ("qseqid",)),
        ('blastp -outfmt="6 qseqid qlen"', ("qseqid", "qlen")),
        ('blastp -outfmt "6 std qlen"', (*blast6.STANDARD, "qlen")),
        ('blastp -outfmt "6 std -evalue"', tuple(name for name in blast6.STANDARD if name != "evalue")),
        ('blastp -outfmt "6 qseqid qseqid bogus length"', ("qseqid", "length")),
        ("blastp -outfmt 6", blast6.STANDARD),
        ("blastp -outfmt 5; blastp -query '", blast6.STANDARD),
        ("echo nothing about formats", blast6.STANDARD),
    ],
)
def test_no_hits_still_have_the_columns_that_were_asked_for(script: str, columns: tuple[str, ...]) -> None:
    """The cell's `-outfmt` names the columns, by BLAST's own rules, also when nothing is found."""
    assert blast6.read("", script).columns == columns


def test_comments_name_the_columns() -> None:
    """Without a list in the cell, `# Fields:` says what is there; std keeps its usual names."""
    fields = "# Fields: query id, % query coverage per subject, subject tax id\n"

    assert blast6.read(COMMENTS + FIELDS + "# 1 hits found\n" + HIT).columns == blast6.STANDARD
    hits = blast6.read(COMMENTS + fields + "# 1 hits found\nq1\t100\tN/A\n# BLAST processed 1 queries\n")
    assert hits.columns == ("qseqid", "qcovs", "staxid")
    assert hits.rows == [["q1", 100, None]]


def test_every_long_name_is_known_again() -> None:
    """Each specifier's long name leads back to it, but for two that BLAST itself calls the same."""
    for name, (_, long) in blast6.SPECIFIERS.items():
        assert blast6.read(f"{COMMENTS}# Fields: {long}\n").columns == (name,)


def test_several_queries_and_one_without_hits() -> None:
    """Each query has its comments; a query without hits has no `# Fields:` and no rows."""
    second = HIT.replace("q1", "q2")
    text = f"{COMMENTS}# 0 hits found\n{COMMENTS}{FIELDS}# 1 hits found\n{second}# BLAST processed 2 queries\n"

    assert [row[0] for row in blast6.read(text).rows] == ["q2"]


def test_only_comments_and_no_fields() -> None:
    """A search without any hit, `-outfmt 7`: no rows, and the columns the cell asked for."""
    hits = blast6.read(COMMENTS + "# 0 hits found\n# BLAST processed 1 queries\n", "blastp -outfmt '7 qseqid length'")

    assert (hits.columns, hits.rows) == (("qseqid", "length"), [])


def test_of_two_commands_the_one_that_fits_is_meant() -> None:
    """A cell may search into a file first: the number of columns tells which list is on stdout."""
    script = "blastp -outfmt '6 std qlen' -out all.tsv\nblastp -outfmt '6 qseqid evalue'"

    assert blast6.read("q1\t1e-5\n", script).columns == ("qseqid", "evalue")


def test_a_delimiter_of_ones_own() -> None:
    """`delim=` is BLAST's way to say so; format 10 has commas."""
    assert blast6.read("q1@5\n", 'blastp -outfmt "6 delim=@ qseqid length"').rows == [["q1", 5]]
    assert blast6.read("q1,5\n", 'blastp -outfmt "10 qseqid length"').rows == [["q1", 5]]


@pytest.mark.parametrize(
    ("text", "script", "line", "reason"),
    [
        (HIT + "Warning: no taxdb\n", "", 2, "1 columns where 12"),
        (HIT.replace("146", "many", 1), "", 1, "length is 'many'"),
        ("a\tb\n", "blastp -outfmt '6 qseqid'\nblastp -outfmt '6 qseqid qlen sseqid'", 1, "2 columns where 1 or 3"),
        ("a\tb\n", "blastp -outfmt '6 qseqid sacc'\nblastp -outfmt '6 qseqid sseqid'", 1, "several tables"),
        ("# Fields: query id\nq\n# Fields: query id, evalue\n", "", 3, "different columns"),
    ],
)
def test_what_does_not_fit_is_named_by_line(text: str, script: str, line: int, reason: str) -> None:
    """Bad data is one clear error with the line in it."""
    with pytest.raises(BadData, match=reason) as caught:
        blast6.read(text, script)
    assert caught.value.line == line


def test_frames_have_types_also_without_hits() -> None:
    """Types follow the column: int64 and float64, Int64 only where BLAST says N/A."""
    empty = from_bytes(b"", "blast6", origin="--out hits:blast6")
    gaps = from_bytes(b"q1\tN/A\nq2\t9606\n", "blast6", origin="x", script="blastp -outfmt '6 qseqid staxid'")

    assert [str(empty[name].dtype) for name in ("length", "pident", "evalue")] == ["int64", "float64", "float64"]
    assert str(gaps["staxid"].dtype) == "Int64"
    assert gaps["staxid"].isna().tolist() == [True, False]


def test_the_error_for_people_names_option_format_and_line() -> None:
    """What a reader sees when a cell did not print BLAST's format."""
    with pytest.raises(BadRequest, match=r"--out hits:blast6: no blast6 in line 1: 1 columns where 12 were expected"):
        from_bytes(b"hello\n", "blast6", origin="--out hits:blast6")
