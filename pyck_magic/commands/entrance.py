"""The way in and out of the `pyck` command, both as short as they can be: most of a quick command's time is Python's own.

Runs in: a process of its own.
"""

import gc
import os
import sys


def main() -> None:
    """Do what the command line says, and leave with its exit code."""
    gc.disable()
    from pyck_magic.commands import terminal

    gc.freeze()  # there is nothing to collect in what was imported
    gc.enable()
    code = terminal.main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # all is closed and written; Python would take everything apart before it ends
