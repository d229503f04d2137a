"""The containers of a home: what runs, what has run, and what is to be forgotten.

Runs in: the notebook kernel, any thread.
"""

import contextlib
import fcntl
import os
import signal
import time

from pyck_magic.linux import trees
from pyck_magic.model.errors import Conflict
from pyck_magic.model.records import Container
from pyck_magic.store import Home

# Between making its folder and writing it down, a container belongs to nobody; nobody takes that long.
_ORPHAN_S = 60
_SWEEP_EVERY_S = 600
_END_S = 10


class Containers:
    """List, find, remove; and the janitor who sweeps after engines that were killed."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = f"{home.path}/containers"

    def list(self, all: bool = False) -> tuple[Container, ...]:
        """Newest first; only running ones unless `all`."""
        return tuple(one for one in self._home.containers.list() if all or one.status == "running")

    def get(self, name: str) -> Container:
        """By name, full id or unambiguous start of an id. Raises NotFound, Conflict."""
        return self._home.containers.get(name)

    def remove(self, name: str, *, force: bool = False) -> Container:
        """Forget a container and what it wrote. A running one is refused unless `force`, which ends it first."""
        self._home.make_room()
        container = self.get(name)
        if container.status == "running":
            if not force:
                raise Conflict(
                    f'cannot remove container "{container.name}": container is running: stop it before removing or force remove',
                    hint=f"`pyck rm -f {container.name}` ends it first",
                )
            self._end(container)
        with contextlib.suppress(FileNotFoundError):
            trees.remove(f"{self._folder}/{container.id}")
        self._home.containers.remove(container.id)
        return container

    def sweep(self) -> None:
        """Remove what engines and monitors that were killed left half-made. Cheap when it was done lately."""
        marker = f"{self._folder}/.swept"
        with contextlib.suppress(OSError):
            if time.time() - os.stat(marker).st_mtime < _SWEEP_EVERY_S:
                return
        with contextlib.suppress(OSError):
            known = {one.id for one in self._home.containers.list()}
            for folder in (self._folder, f"{self._home.path}/sandboxes"):
                for entry in os.scandir(folder):
                    with contextlib.suppress(OSError):  # what will not go now, may next time; the others must not wait for it
                        if entry.is_dir(follow_symlinks=False) and entry.name not in known and self._is_orphan(entry.path):
                            self._remove(entry.path)
            with open(marker, "wb"):
                os.utime(marker)

    def _remove(self, folder: str) -> None:
        """Remove a folder; what belongs to subordinate ids goes from the trash, by somebody who has them."""
        try:
            trees.remove(folder)
        except PermissionError:
            os.rename(folder, f"{self._home.trash_folder}/{os.path.basename(folder)}")
            from pyck_magic.engine.ranges import remove_what_only_the_range_may

            remove_what_only_the_range_may(self._home)

    def _is_orphan(self, folder: str) -> bool:
        return not _is_looked_after(folder) and time.time() - os.stat(folder).st_mtime > _ORPHAN_S

    def _end(self, container: Container) -> None:
        """Have the container's monitor end it, and wait until the lock is free."""
        folder = f"{self._folder}/{container.id}"
        with contextlib.suppress(OSError, ValueError), open(f"{folder}/lock", encoding="ascii") as lock:
            number = int(lock.read())
            monitor_fd = os.pidfd_open(number)
            try:
                # Whoever shares the home from another machine or container numbers processes otherwise.
                if _has_open(number, lock.fileno()):
                    signal.pidfd_send_signal(monitor_fd, signal.SIGTERM)
            finally:
                os.close(monitor_fd)
        deadline = time.monotonic() + _END_S
        while _is_looked_after(folder):
            if time.monotonic() > deadline:
                raise Conflict(f"container {container.name!r} does not end", hint="its monitor may be stopped: look at `ps`")
            time.sleep(0.005)


def _has_open(pid: int, fd: int) -> bool:
    """Has this process the file open that we have as `fd`? Raises OSError for a process that we may not look into."""
    wanted = os.fstat(fd)
    for entry in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(f"/proc/{pid}/fd/{entry}"), wanted):
                return True
    return False


def _is_looked_after(folder: str) -> bool:
    """Does a living monitor hold the container's lock?"""
    try:
        lock_fd = os.open(f"{folder}/lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock_fd)
    return False
