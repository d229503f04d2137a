"""Containers in a notebook cell: no daemon, no root, no Docker.

Runs in:    the notebook kernel (and, as an empty shell, in the launcher).
May import: everything, but only when asked: `%load_ext pyck_magic` must stay quick.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pyck_magic.engine import Engine, Result, RunOptions, Volume

__version__ = "0.1.0"
__all__ = ["Engine", "Result", "RunOptions", "Volume", "__version__", "load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Register `%container` and `%%container` (called by `%load_ext pyck_magic`)."""
    from pyck_magic.magic import register

    register(shell)


def unload_ipython_extension(shell: "InteractiveShell") -> None:
    """Take the magics away again (called by `%unload_ext pyck_magic`)."""
    from pyck_magic.magic import unregister

    unregister(shell)


def __getattr__(name: str) -> Any:
    if name in ("Engine", "Result", "RunOptions", "Volume"):
        from pyck_magic import engine

        return getattr(engine, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
