"""Python values into files, and output into Python values."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyck_magic.magic import fasta
from pyck_magic.magic.values import from_bytes, to_file, to_path
from pyck_magic.model.errors import BadRequest


@dataclass
class Seq:
    """Looks like Biopython's SeqRecord."""

    id: str
    description: str
    seq: str


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("äcg", "äcg".encode()),
        (b"\x00\xff", b"\x00\xff"),
        (bytearray(b"ab"), b"ab"),
        (["a", "b"], b"a\nb\n"),
        ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], b"a\tb\n1\tx\n2\ty\n"),
        ([{"id": "s1", "sequence": "AC"}], b">s1\nAC\n"),
        ([{"id": "s1", "sequence": "AC", "description": "one"}], b">s1 one\nAC\n"),
        (Seq("s1", "s1 one", "AC"), b">s1 one\nAC\n"),
        ([Seq("s1", "s1", "A" * 61)], b">s1\n" + b"A" * 60 + b"\nA\n"),
        ({"a": [1, None]}, b'{"a": [1, null]}'),
        ([1, 2], b"[1, 2]"),
        ([], b"[]"),
        (42, b"42"),
        (None, b"null"),
    ],
)
def test_values_become_files(value: object, expected: bytes) -> None:
    """Each kind of value has one way to be written."""
    assert to_file(value, "x") == expected


def test_frames_become_tables_or_sequences() -> None:
    """A DataFrame is TSV with a header; its index is written when it has a name; sequences are FASTA."""
    plain = pd.DataFrame({"a": [1], "b": ["x"]})

    assert to_file(plain, "x") == b"a\tb\n1\tx\n"
    assert to_file(plain.set_index("b"), "x") == b"b\ta\nx\t1\n"
    assert to_file(pd.DataFrame({"id": ["s"], "sequence": ["AC"], "description": [None]}), "x") == b">s\nAC\n"


def test_a_path_stands_for_its_file(tmp_path: Path) -> None:
    """Files are handed in as they are; what is none is refused before anything runs."""
    (tmp_path / "file").write_text("x")

    assert to_file(tmp_path / "file", "x") == tmp_path / "file"
    with pytest.raises(BadRequest, match="does not exist"):
        to_file(tmp_path / "nothing", "x")
    with pytest.raises(BadRequest, match="is a directory"):
        to_file(tmp_path, "x")


@pytest.mark.parametrize("value", [object(), {"a": object()}, {1, 2}])
def test_what_has_no_form_is_refused(value: object) -> None:
    """An error that names the variable, not a pickle."""
    with pytest.raises(BadRequest, match="-i x: "):
        to_file(value, "x")


def test_output_becomes_values() -> None:
    """Every format out."""

    def read(data: bytes, name: str) -> object:
        return from_bytes(data, name, origin="--out x")

    assert read(b"\xc3\xa4\xff\n", "text") == "ä\ufffd\n"
    assert read(b"\x00", "bytes") == b"\x00"
    assert read(b"a\nb\n", "lines") == ["a", "b"]
    assert read(b'{"a": 1}', "json") == {"a": 1}
    pd.testing.assert_frame_equal(read(b"a,b\n1,x\n", "csv"), pd.DataFrame({"a": [1], "b": ["x"]}))
    pd.testing.assert_frame_equal(read(b"a\tb\n1\tx\n", "tsv"), pd.DataFrame({"a": [1], "b": ["x"]}))
    assert read(b"", "tsv").empty
    records = read(b">s1 one two\nAC\nGT\n\n>s2\n", "fasta")
    assert records.to_dict("records") == [
        {"id": "s1", "description": "one two", "sequence": "ACGT"},
        {"id": "s2", "description": "", "sequence": ""},
    ]


@pytest.mark.parametrize(
    ("data", "format_name", "message"),
    [
        (b"{\n'a'}", "json", "no json in line 2"),
        (b"ACGT\n>s\n", "fasta", "no fasta in line 1"),
        (b">s\nAC\n>\n", "fasta", "no fasta in line 3"),
        (b"a,b\n1,2\n1,2,3\n", "csv", "no csv: .*line 3"),
    ],
)
def test_bad_data_is_one_error_that_names_the_line(data: bytes, format_name: str, message: str) -> None:
    """No traceback of a parser, but which option, which format, which line."""
    with pytest.raises(BadRequest, match=f"--out x:{format_name}: {message}"):
        from_bytes(data, format_name, origin=f"--out x:{format_name}")


def test_a_path_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """`path` leaves a file; where it cannot, an error and no remains."""
    assert to_path(b"x", tmp_path / "new" / "file").read_bytes() == b"x"
    (tmp_path / "taken").mkdir()
    with pytest.raises(BadRequest, match="cannot write"):
        to_path(b"x", tmp_path / "taken")
    assert not list(tmp_path.glob(".*"))


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1)


@given(st.lists(st.tuples(NAMES, st.text("ACGT-*", max_size=200)), max_size=5))
def test_fasta_there_and_back(records: list[tuple[str, str]]) -> None:
    """What is written as FASTA is read as it was."""
    written = fasta.write({"id": name, "sequence": sequence} for name, sequence in records)

    assert [(name, sequence) for name, _, sequence in fasta.read(written)] == records


def test_values_need_no_pandas_until_there_are_tables() -> None:
    """Text in and text out cost no import of pandas."""
    code = (
        "import sys; from pyck_magic.magic.values import *; to_file(['a'], 'x'); from_bytes(b'1', 'json', origin='x');"
        "print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert json.loads(done.stdout.lower()) is False


def test_a_column_is_handed_in_as_lines() -> None:
    """A Series is its values, one a line."""
    assert to_file(pd.Series(["a", "b"], name="gene"), "x") == b"a\nb\n"


def test_odd_tables() -> None:
    """Rows longer than the first line are no table, rather than shifted; lone quotes in TSV are letters."""
    with pytest.raises(BadRequest, match="fewer columns"):
        from_bytes(b"a,b\n1,2,3\n", "csv", origin="--out x:csv")
    assert from_bytes(b'a\tb\n5"\tx\n', "tsv", origin="--out x:tsv").iloc[0].tolist() == ['5"', "x"]  # type: ignore[attr-defined]
