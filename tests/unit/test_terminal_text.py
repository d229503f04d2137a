"""What programs write for terminals, made fit for a cell."""

import pytest

from pyck_magic.magic.terminal_text import collapse, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\nlines\n", "plain\nlines\n"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("1%\r2%\r3%", "\r3%"),
        ("a\n1%\r2%\rdone\nb", "a\ndone\nb"),
        ("\r50%", "\r50%"),
        ("longer\rab", "\rabnger"),
        ("10%\r\x1b[K20%\r\x1b[K30%", "\r\x1b[K30%"),
        ("x\n\r\ny", "x\n\ny"),
    ],
)
def test_of_rewritten_lines_the_last_state_stays(text: str, expected: str) -> None:
    """A carriage return overwrites; what it overwrote need not be sent."""
    assert collapse(text) == expected


def test_a_thousand_rewrites_are_one() -> None:
    """A progress bar costs its last state."""
    assert len(collapse("".join(f"\r{number:4}/1000" for number in range(1000)))) < 20


def test_colours_stay_and_noise_is_shown_as_such() -> None:
    """ANSI colours, tabs and newlines are kept; bells, NULs and C1 controls are replaced."""
    assert visible("\x1b[31mred\x1b[0m\tä\n") == "\x1b[31mred\x1b[0m\tä\n"
    assert visible("a\x00\x07\x9bb") == "a\ufffd\ufffd\ufffdb"
