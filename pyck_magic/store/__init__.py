"""What is on disk: blobs, layers, images, containers; SQLite for what has names.

Runs in:    the notebook kernel; `store.unpacker` (with `tar`, `sparse`, `compression`, `tree`) is a process of its own.
May import: linux, model. Its lodgers are isal and zstandard.
Never:      speaks to a network.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyck_magic.store.home import Home, default_path

__all__ = ["Home", "default_path"]


def __getattr__(name: str) -> Any:
    # The unpacker lives in this room as well, and has no use for SQLite.
    if name in __all__:
        from pyck_magic.store import home

        return getattr(home, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
