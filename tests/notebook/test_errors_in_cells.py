"""What goes wrong in a cell is one error in plain words, and it stops a notebook."""

import pytest

from tests.notebook.kernels import Kernel


def test_a_failed_program(kernel: Kernel) -> None:
    """ContainerFailed: one line with the code and the program's last words; the receipt and the variable are there."""
    outputs = kernel.run("%%container {tiny} --out before\necho printed; echo why >&2; exit 3")

    assert outputs.error == "ContainerFailed: the cell exited with code 3: why"
    assert "exit 3" in outputs.shown[-1]
    assert kernel.value("before, _exit_code") == "('printed\\n', 3)"
    assert kernel.run("import sys; type(sys.last_value).__name__, sys.last_value.result.exit_code").shown[-1] == (
        "('ContainerFailed', 3)"
    )


def test_a_missing_program(kernel: Kernel) -> None:
    """127, and its name."""
    assert "the cell exited with code 127: line 1: blastx: not found" in kernel.run("%%container {tiny}\nblastx").error


def test_the_first_failing_command_ends_the_cell(kernel: Kernel) -> None:
    """A body is run with -e."""
    outputs = kernel.run("%%container {tiny}\nfalse\necho not reached")

    assert outputs.text() == ""
    assert "exited with code 1" in outputs.error


def test_going_on_anyway(kernel: Kernel) -> None:
    """--no-raise-error leaves the code in _exit_code."""
    assert kernel.run("%%container {tiny} --no-raise-error\nexit 5").error == ""
    assert kernel.value("_exit_code") == "5"


def test_a_time_limit(kernel: Kernel) -> None:
    """124, and why."""
    outputs = kernel.run("%%container {tiny} --timeout 300ms\nsleep 60")

    assert "the cell exited with code 124: " in outputs.error


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%container\necho hi", "no image is named"),
        ("%%container {tiny}\n  \n", "the cell is empty"),
        ("%%container {tiny} --outt x\ntrue", "--out"),
        ("%%container {missing}\ntrue", "no variable is called 'missing'"),
        ("%%container {tiny} 'x\ntrue", "the line cannot be split"),
        ("%%container {tiny} --out 1x\ntrue", "cannot be the name of a variable"),
        ("%%container {tiny} --out x:tsvv\ntrue", "did you mean tsv?"),
        ("%%container {tiny} -i missing\ntrue", "-i missing: name 'missing' is not defined"),
        ("%%container {tiny} -i x=1+\ntrue", "no Python expression"),
        ("%%container {tiny} -i x=1/0\ntrue", "ZeroDivisionError"),
        ("%%container {tiny} -i x=object()\ntrue", "cannot be handed in"),
        ("%%container {tiny} --tee\ntrue", "--tee without"),
        ("%%container {tiny} -v /no/such:/x\ntrue", "/no/such"),
        ("%%container no/such-image --pull never\ntrue", "no/such-image"),
        ("%%container UPPER\ntrue", "Error|Reference|reference"),
        ("%container imagse", "did you mean images?"),
        ("%container inspect nobody", "no such object: nobody"),
    ],
)
def test_wrong_cells_are_one_clear_error(kernel: Kernel, cell: str, message: str) -> None:
    """At most a line and a hint, no traceback, and nothing ran."""
    outputs = kernel.run(cell)

    assert outputs.error
    assert any(word in outputs.error for word in message.split("|")), outputs.error
    assert len(outputs.error.splitlines()) <= 2, outputs.error
    assert outputs.of("stream", "display_data") == []


def test_failed_runs_leave_nothing(kernel: Kernel) -> None:
    """After all kinds of failure the list of containers is empty."""
    kernel.run("%%container {tiny} --no-raise-error\nexit 1")
    kernel.run("%%container {tiny} --entrypoint /no/such\ntrue")

    assert kernel.value("len(get_ipython().run_line_magic('container', 'ps -a'))") == "0"
