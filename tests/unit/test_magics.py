"""The extension as IPython sees it. A real shell, no container."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell

import pyck_magic
from pyck_magic.commands.options import CELL, options_of
from pyck_magic.magic.magics import ContainerMagics


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    yield made
    InteractiveShell.clear_instance()


def test_loading_twice_and_unloading(shell: InteractiveShell) -> None:
    """Load, load again, unload: the magics come once and go whole."""
    pyck_magic.load_ipython_extension(shell)
    first = shell.magics_manager.magics["cell"]["container"]
    pyck_magic.load_ipython_extension(shell)

    assert shell.magics_manager.magics["cell"]["container"] is first
    pyck_magic.unload_ipython_extension(shell)
    pyck_magic.unload_ipython_extension(shell)
    assert "container" not in {**shell.magics_manager.magics["line"], **shell.magics_manager.magics["cell"]}


def test_the_help_names_every_option_of_a_cell() -> None:
    """`%%container?` is complete: a new option has to be put there."""
    text = ContainerMagics.container.__doc__

    assert not [option.name for option in options_of(CELL) if f"--{option.name}" not in text]


def test_loading_starts_nothing_and_opens_nothing() -> None:
    """No engine, no launcher, no home until a magic is used."""
    code = """
from IPython.core.interactiveshell import InteractiveShell
import os, sys
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "pyck_magic")
shell.run_line_magic("container", "version --help")
print("pyck_magic.engine" in sys.modules, os.path.exists(os.environ["PYCK_HOME"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYCK_HOME": "/nonexistent/pyck", "HOME": "/tmp"}
    )

    assert done.stdout.split()[-2:] == ["False", "False"], done.stdout + done.stderr
