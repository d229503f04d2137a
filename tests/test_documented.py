"""What can be typed is written down where people look first."""

from pathlib import Path

import pytest

from pyck_magic.commands.options import CELL, OPTIONS, VERBS, Option

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


@pytest.mark.parametrize("option", [one for one in OPTIONS if CELL in one.verbs], ids=lambda option: option.name)
def test_every_option_of_a_cell_is_in_the_readme(option: Option) -> None:
    """By its long name, in the table of options."""
    assert f"--{option.name}" in README


@pytest.mark.parametrize("verb", [one.name for one in VERBS if one.name != "help"])
def test_every_verb_is_in_the_readme(verb: str) -> None:
    """By its name."""
    assert f"`{verb}`" in README or f"`%container {verb}`" in README
