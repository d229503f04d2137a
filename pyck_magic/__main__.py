"""`python -m pyck_magic` is `pyck`.

Runs in: a process of its own.
"""

from pyck_magic.commands.entrance import main

main()
