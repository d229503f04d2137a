"""The way in and out of the `pyck` command, both as short as they can be: most of a quick command's time is Python's own.

Runs in: a process of its own.
"""

import gc
import os
import sys


def main() -> None:
    """Do what the command line says, and leave with its exit code."""
    _fill_the_standard_descriptors()
    gc.disable()
    from pyck_magic.commands import terminal

    gc.freeze()  # there is nothing to collect in what was imported
    gc.enable()
    code = terminal.main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # all is closed and written; Python would take everything apart before it ends


def _fill_the_standard_descriptors() -> None:
    """Have something under 0, 1 and 2, or the next file we open would be taken for one of them (`pyck run … >&-`)."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))
