"""Unpacked layers: directories named by their diff id.

Runs in: the notebook kernel.
"""

import os
from typing import Literal

from pyck_magic.linux import trees
from pyck_magic.model.digest import Digest

Ownership = Literal["own", "range"]
_FOLDERS: dict[str, str] = {"own": "sha256", "range": "range"}


class Layers:
    """Where layers are. A layer that is in its place is whole: it came there by a rename, after both digests held.

    `ownership` "own" is as this user can own files (root: the real owners), "range" is inside the user's subordinate ids.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.unpacking = f"{folder}/unpacking"

    def path(self, diff_id: Digest, ownership: Ownership = "own") -> str:
        """The directory of a layer, here or not."""
        return f"{self._folder}/{_FOLDERS[ownership]}/{diff_id.hex}"

    def has(self, diff_id: Digest, ownership: Ownership = "own") -> bool:
        return os.path.isdir(self.path(diff_id, ownership))

    def invent_name(self) -> str:
        """A name that nobody has. Note it down before `reserve`, to be able to `discard` it whatever happens."""
        return os.urandom(16).hex()

    def reserve(self, name: str) -> None:
        """Make a directory of this name to unpack into."""
        os.mkdir(f"{self.unpacking}/{name}", 0o755)

    def commit(self, name: str, diff_id: Digest, ownership: Ownership = "own") -> None:
        """Put an unpacked directory in its place. If somebody was quicker with the same layer, theirs stays."""
        try:
            os.rename(f"{self.unpacking}/{name}", self.path(diff_id, ownership))
        except OSError:
            if not self.has(diff_id, ownership):
                raise
            self.discard(name)

    def discard(self, *names: str) -> None:
        """Remove directories that will not become layers, as far as they exist."""
        for name in names:
            trees.remove(f"{self.unpacking}/{name}")
