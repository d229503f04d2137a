"""The first line of a cell.

Runs in:    pytest.
"""

from types import SimpleNamespace

import pytest

from pyck_magic.commands import Capture, FileBack, parse_cell, split_line
from pyck_magic.model.errors import BadOption, BadRequest
from pyck_magic.model.options import RunOptions


def test_a_bare_image_has_a_cells_defaults() -> None:
    """The container goes, the notebook's directory is there, a failure raises."""
    request = parse_cell("alpine", {})
    assert (request.image, request.options) == ("alpine", RunOptions())
    assert request.options.remove and request.share_directory and request.raise_error
    assert not (request.out or request.err or request.tee or request.quiet or request.inputs or request.outputs)


def test_options_may_stand_before_and_behind_the_image() -> None:
    """A cell has no command with which they could be confused."""
    request = parse_cell("-e A=1 alpine --network none --quiet --no-cwd --no-raise-error --timeout 5m", {})
    assert request.image == "alpine"
    assert request.options.env == (("A", "1"),)
    assert (request.options.network, request.options.timeout_s) == ("none", 300)
    assert request.quiet and not request.share_directory and not request.raise_error


def test_words_behind_the_image_are_the_interpreter() -> None:
    """From its first word on, options are the interpreter's."""
    request = parse_cell("python:3 -e A=1 python -u -W ignore", {})
    assert request.options.entrypoint == ("python", "-u", "-W", "ignore")
    assert request.options.env == (("A", "1"),)
    assert request.options.user is None


def test_streams_and_files_name_variables_and_formats() -> None:
    """With the formats people would expect where none is given."""
    request = parse_cell("blast --out hits:blast6 --err log --tee -o a/r.tsv=table -o b.bin=raw -o r.txt=n:lines", {})
    assert (request.out, request.err, request.tee) == (Capture("hits", "blast6"), Capture("log", "text"), True)
    assert request.outputs == (
        FileBack("a/r.tsv", "table", "tsv"), FileBack("b.bin", "raw", "bytes"), FileBack("r.txt", "n", "lines"),
    )  # fmt: skip
    assert request.options.outputs == ("a/r.tsv", "b.bin", "r.txt")


def test_inputs_are_names_with_expressions() -> None:
    """Without an expression the name is its own."""
    assert parse_cell("alpine -i seq -i 'top=hits.head(3) == 1'", {}).inputs == (("seq", "seq"), ("top", "hits.head(3) == 1"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "no image is named"),
        ("--quiet", "no image is named"),
        ("alpine --tee", "--tee without --out"),
        ("alpine --out x --err x", "two things would be put into 'x'"),
        ("alpine --out x -o f=x", "two things would be put into 'x'"),
        ("alpine -i x -i x=y", "-i names 'x' twice"),
        ("alpine -i x -e x=1", "the file of -i and the value of -e"),
        ("alpine --out 1x", "cannot be the name of a variable"),
        ("alpine --out class", "cannot be the name of a variable"),
        ("alpine --out x:", "unknown format ''"),
        ("alpine -i x=", "nothing behind the ="),
        ("alpine -o file", "a file and a variable are needed"),
        ("alpine -o =x", "a file and a variable are needed"),
        ("alpine --entrypoint sh python", "contradict each other"),
        ("alpine 'sh", "no closing quotation"),
    ],
)
def test_what_cannot_be_meant_is_refused(line: str, message: str) -> None:
    """One clear error with a hint."""
    with pytest.raises(BadRequest) as caught:
        parse_cell(line, {})
    assert message in str(caught.value)
    assert caught.value.hint


def test_an_unknown_format_names_the_nearest() -> None:
    """Among those the notebook knows."""
    with pytest.raises(BadOption) as caught:
        parse_cell("alpine --out x:blast", {})
    assert caught.value.hint == "did you mean blast6?"
    with pytest.raises(BadOption):
        parse_cell("alpine --out x:csv", {}, formats=("text",))


def test_help_needs_no_image() -> None:
    """`%%container --help` asks for nothing else."""
    assert parse_cell("--help", {}).wants_help


def test_python_values_stay_within_their_word() -> None:
    """Blanks and quotes of a value split nothing; `$` is not ours."""
    words = split_line("{image} -v {folder}:/data -e 'A={x[0]}' $HOME {o.name} {d[key]}", {
        "image": "alpine", "folder": "/my data/it's", "x": [7], "o": SimpleNamespace(name="n"), "d": {"key": "v"},
    })  # fmt: skip
    assert words == ["alpine", "-v", "/my data/it's:/data", "-e", "A=7", "$HOME", "n", "v"]


def test_doubled_braces_are_braces() -> None:
    """For awk and JSON on the line."""
    assert split_line("""'{{"a": {x}}}'""", {"x": 1}) == ['{"a": 1}']


@pytest.mark.parametrize(
    "word", ["{nowhere}", "{}", "{x", "x}", "{x.no}", "{x[9]}", "{x.__class__}", "{x!r}", "{x:>3}", "{f(1)}", "{x[a][b]}"]
)
def test_what_has_no_value_is_an_error(word: str) -> None:
    """Nothing is left standing in the hope that it was meant."""
    with pytest.raises(BadRequest) as caught:
        split_line(word, {"x": [1], "f": str})
    assert caught.value.hint


def test_the_missing_name_is_named() -> None:
    """So that one knows which cell to run first."""
    with pytest.raises(BadRequest, match=r"\{imgae\}: no variable is called 'imgae'"):
        parse_cell("{imgae}", {"image": "alpine"})


@pytest.mark.parametrize(
    ("written", "expression"),
    [
        ("d=df.set_index('b')", "df.set_index('b')"),
        ('d=df["b"]', 'df["b"]'),
        ("\"d=df['b']\"", "df['b']"),
        ("'d=f(a, b)'", "f(a, b)"),
        ("d", "d"),
        ("d={n}", "3"),
    ],
)
def test_quotes_in_python_are_pythons(written: str, expression: str) -> None:
    """What the shell's rules would take away from an expression stays, unless it stands around the whole of it."""
    assert parse_cell(f"-i {written} alpine", {"n": 3}).inputs == (("d", expression),)


@pytest.mark.parametrize("line", ["$y alpine", "-i PATH=x alpine"])
def test_slips_of_the_line(line: str) -> None:
    """A variable written as IPython has it, and a value that would be the container's PATH, are answered with what to do."""
    with pytest.raises(BadRequest) as caught:
        parse_cell(line, {})
    assert caught.value.hint


def test_a_stream_has_one_variable() -> None:
    """Of two --out the first would be lost without a word."""
    with pytest.raises(BadOption, match="--out is given twice"):
        parse_cell("--out x --out y alpine", {})
