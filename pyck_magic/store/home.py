"""The home: the one folder where everything lives, and the order in it.

Runs in: the notebook kernel, or the `pyck` command.

    state.db                     names, images, containers (SQLite)
    blobs/sha256/<hex>           manifests, configs and compressed layers, exactly as they were served
    layers/sha256/<hex>/         unpacked layers by diff id, owned as this user can own them
    layers/range/<hex>/          the same with their real owners, inside the user's subordinate ids
    layers/unpacking/            layers on their way
    partial/<hex>[.lock]         blobs on their way, and whose turn it is to fetch them
    trash/                       what was removed in one rename and is being deleted
    sandboxes/<id>/              containers that wait to be asked for
    containers/<id>/             containers that run, or have run and stay
    staging/ volumes/ logs/
    reserve                      room on a full disk for removing something
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyck_magic.linux import ext4, trees
from pyck_magic.model.errors import StoreError
from pyck_magic.store.blobs import Blobs
from pyck_magic.store.containers import Containers
from pyck_magic.store.database import Database
from pyck_magic.store.images import Images
from pyck_magic.store.layers import Layers

if TYPE_CHECKING:
    from pathlib import Path

_RESERVE_BYTES = 1 << 20
_FOLDERS = (
    "blobs/sha256", "layers/sha256", "layers/range", "layers/unpacking", "partial", "trash",
    "sandboxes", "containers", "staging", "volumes", "logs",
)  # fmt: skip


def default_path() -> str:
    """`$PYCK_HOME`, else `pyck` in the user's data directory (`$XDG_DATA_HOME`, or what the platform calls it)."""
    if chosen := os.environ.get("PYCK_HOME"):
        return os.path.abspath(chosen)
    if data := os.environ.get("XDG_DATA_HOME"):
        return os.path.abspath(f"{data}/pyck")
    from platformdirs import user_data_dir

    return user_data_dir("pyck")


class Home:
    """Opens a home, and makes it (for its owner's eyes only) if need be. Several processes may share one.

    Raises StoreError when the folder cannot be written or the database cannot be read.
    """

    def __init__(self, path: "Path | str") -> None:
        self.path = os.path.abspath(path)
        try:
            self._lay_out()
        except OSError as error:
            raise StoreError(
                f"cannot use {self.path} as a home: {error.strerror}",
                hint="make it a folder you can write to, or point PYCK_HOME at one",
            ) from error
        self.make_room()
        self._database = Database(f"{self.path}/state.db")
        self.blobs = Blobs(f"{self.path}/blobs", f"{self.path}/partial")
        self.layers = Layers(f"{self.path}/layers")
        self.images = Images(self._database)
        self.containers = Containers(self._database, f"{self.path}/containers")

    def _lay_out(self) -> None:
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise PermissionError(13, "it is not writable")
        for folder in _FOLDERS:
            if not os.path.isdir(f"{self.path}/{folder}"):
                os.makedirs(f"{self.path}/{folder}", mode=0o700, exist_ok=True)
                if folder == "layers/unpacking":
                    ext4.spread_children(f"{self.path}/{folder}")

    def make_room(self) -> None:
        """Give up the reserve if the disk is full: without a little room, SQLite cannot even note down what is removed."""
        reserve = f"{self.path}/reserve"
        disk = os.statvfs(self.path)
        free_bytes = disk.f_bavail * disk.f_frsize
        with contextlib.suppress(OSError):
            if free_bytes < _RESERVE_BYTES:
                os.unlink(reserve)
            elif free_bytes > 32 * _RESERVE_BYTES and not os.path.exists(reserve):
                with open(reserve, "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)

    @contextlib.contextmanager
    def pulling(self) -> Iterator[None]:
        """Inside, no layer or blob is collected, also not by another process: a pull may count on what is here."""
        lock_fd = self._open_lock()
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_SH)
            yield
        finally:
            os.close(lock_fd)

    def collect(self) -> bool:
        """Delete layers and blobs that no image uses, and what killed pulls left. False while somebody pulls.

        Partial blobs stay: they are what an interrupted pull goes on from.
        """
        lock_fd = self._open_lock()
        try:
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            layers, blobs = self.images.in_use()
            for folder, wanted in (("layers/sha256", layers), ("layers/range", layers), ("blobs/sha256", blobs)):
                for name in os.listdir(f"{self.path}/{folder}"):
                    if name not in wanted:
                        self._throw_away(f"{folder}/{name}")
            for name in os.listdir(f"{self.path}/layers/unpacking"):
                self._throw_away(f"layers/unpacking/{name}")
        finally:
            os.close(lock_fd)
        self._empty_trash()
        return True

    @property
    def trash_folder(self) -> str:
        return f"{self.path}/trash"

    def trash(self) -> tuple[str, ...]:
        """Names in the trash that would not go: files of subordinate ids."""
        return tuple(os.listdir(self.trash_folder))

    def _throw_away(self, path: str) -> None:
        os.rename(f"{self.path}/{path}", f"{self.path}/trash/{os.urandom(8).hex()}")

    def _empty_trash(self) -> None:
        for name in os.listdir(f"{self.path}/trash"):
            with contextlib.suppress(OSError):  # somebody else may be emptying it too; the next one finds the rest
                trees.remove(f"{self.path}/trash/{name}")

    def _open_lock(self) -> int:
        return os.open(f"{self.path}/partial/.pulling", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Close the database. What is on disk is complete at any time."""
        self._database.close()
