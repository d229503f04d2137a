"""What can be typed is written down where people look first, and what is written there can be typed."""

import re
from pathlib import Path

import pytest

from pyck_magic.commands.options import CELL, OPTIONS, VERBS, Option
from pyck_magic.magic.magics import ContainerMagics

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
TABLE = "\n".join(line for line in README.partition("## In a cell")[2].splitlines() if line.startswith("| `-"))


@pytest.mark.parametrize("option", [one for one in OPTIONS if CELL in one.verbs], ids=lambda option: option.name)
def test_every_option_of_a_cell_is_in_the_readme(option: Option) -> None:
    """By its long name, in the table of options."""
    assert f"--{option.name}" in README


@pytest.mark.parametrize("verb", [one.name for one in VERBS if one.name != "help"])
def test_every_verb_is_in_the_readme(verb: str) -> None:
    """By its name."""
    assert f"`{verb}`" in README or f"`%container {verb}`" in README


@pytest.mark.parametrize("text", [TABLE, ContainerMagics.container.__doc__ or ""], ids=["README", "docstring"])
def test_no_option_is_promised_that_is_not_there(text: str) -> None:
    """Long and short names in the README's table, and in what `%%container?` shows."""
    known = {name for one in OPTIONS if CELL in one.verbs for name in (f"--{one.name}", f"-{one.short}")}
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text)) - {"-a", "-c", "-outfmt", "-query", "-db"}
    assert len(told) > 15
    assert told - known == set()
