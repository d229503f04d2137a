"""All benchmarks: `python -m tests.benchmarks [NAME…]` prints one table each, as Markdown.

A benchmark is a module here with a function `tables() -> Iterator[Table]`.
"""

import importlib
import sys
from pathlib import Path

from tests.benchmarks.harness import machine

NOT_BENCHMARKS = {"__init__", "__main__", "harness", "rivals"}


def main(wanted: list[str]) -> None:
    """Run the benchmarks named, else all of them."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_BENCHMARKS)
    if unknown := set(wanted) - set(names):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    print(f"Measured {machine()}.\nMedians of runs in random order.\n", flush=True)
    for name in wanted or names:
        for table in importlib.import_module(f"tests.benchmarks.{name}").tables():
            print(table, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
