"""`python -m pyck_magic` is `pyck`.

Runs in: a process of its own.
"""

import sys

from pyck_magic.commands.terminal import main

sys.exit(main())
