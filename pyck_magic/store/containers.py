"""Containers: what runs, and what has run and was not removed.

Runs in: the notebook kernel, or the `pyck` command; any thread.

Who looks after a container holds an flock on `containers/<id>/lock`. If the lock is free although the database says
"running", its engine has ended without saying so: what it left in `exit.json` is the truth, or else it was killed.
"""

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import Conflict, NameTaken, NotFound
from pyck_magic.model.records import Container
from pyck_magic.store.database import Database

_COLUMNS = "id, name, image, image_id, command, created, status, started, finished, exit_code, reason, pid, spec"
_LAST_CHARACTER = "\U0010ffff"
_KILLED = 137
# A container is written down a moment after its folder was made, and never later than this.
_PRUNE_AFTER_S = 60


class Containers:
    """Rows of `containers`; the folders are the engine's."""

    def __init__(self, database: Database, folder: str) -> None:
        self._database = database
        self._folder = folder

    def create(self, container: Container) -> None:
        """Write a container down. Its folder must be there. Raises NameTaken."""
        values = _row(container)
        query = f"INSERT INTO containers ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})"
        try:
            self._database.rows(query, values)
        except sqlite3.IntegrityError:
            other = self._get("name = ?", (container.name,))
            if other is not None and not self._is_gone(other):
                raise NameTaken(
                    f'Conflict. The container name "/{container.name}" is already in use by container "{other.id}". You have to '
                    "remove (or rename) that container to be able to reuse that name.",
                    hint=f"remove it (`pyck rm {container.name}`), or choose another name",
                ) from None
            self._database.rows(query.replace("INSERT", "INSERT OR REPLACE", 1), values)

    def update(self, container: Container) -> None:
        """Replace what is written down of a container; nothing happens if it was removed meanwhile."""
        columns = _COLUMNS.split(", ")[1:]
        changes = ", ".join(f"{column} = ?" for column in columns)
        self._database.rows(f"UPDATE containers SET {changes} WHERE id = ?", (*_row(container)[1:], container.id))

    def finish(self, container_id: str, *, exit_code: int, reason: str = "", finished: float | None = None) -> None:
        """Write down how a container ended; `finished` is in seconds since 1970, now by default."""
        self._database.rows(
            "UPDATE containers SET status = 'exited', exit_code = ?, reason = ?, finished = ?, pid = NULL WHERE id = ?",
            (exit_code, reason, finished if finished is not None else time.time(), container_id),
        )

    def get(self, text: str) -> Container:
        """By id, name, or the start of an id, in this order. Raises NotFound, Conflict (several begin so)."""
        found = self._get("id = ?1", (text,)) or self._get("name = ?1", (text.removeprefix("/"),))
        if found is None and text:
            alike = self._select("WHERE id >= ? AND id < ? LIMIT 2", (text, text + _LAST_CHARACTER))
            if len(alike) > 1:
                raise Conflict(f"several container ids begin with {text}", hint="give more of it")
            found = alike[0] if alike else None
        if found is None or self._is_gone(found):
            raise NotFound(f"no such container: {text}", hint="`pyck ps -a` lists those there are")
        return self._reconcile(found)

    def list(self) -> tuple[Container, ...]:
        """All of them, newest first. Forgets those whose folder somebody has removed."""
        here = []
        for container in self._select("ORDER BY created DESC"):
            if self._is_gone(container):
                self.remove(container.id)
            else:
                here.append(self._reconcile(container))
        return tuple(here)

    def using(self, image_id: Digest) -> tuple[Container, ...]:
        """Those made from this image, running ones first."""
        found = [self._reconcile(one) for one in self._select("WHERE image_id = ?", (str(image_id),)) if not self._is_gone(one)]
        return tuple(sorted(found, key=lambda one: one.status != "running"))

    def remove(self, container_id: str) -> None:
        """Forget a container. Idempotent."""
        self._database.rows("DELETE FROM containers WHERE id = ?", (container_id,))

    def _select(self, condition: str, values: Iterable[object] = ()) -> Sequence[Container]:
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM containers {condition}", tuple(values))
        return [_container(row) for row in rows]

    def _get(self, condition: str, values: Iterable[object]) -> Container | None:
        found = self._select(f"WHERE {condition}", values)
        return found[0] if found else None

    def _is_gone(self, container: Container) -> bool:
        """Has it lost its folder, or ended without anybody to remove it, as was wanted?"""
        if container.status == "running" and _was_to_go(container) and not _is_locked(f"{self._folder}/{container.id}/lock"):
            return True
        age_s = time.time() - container.created.timestamp()
        return age_s > _PRUNE_AFTER_S and not os.path.isdir(f"{self._folder}/{container.id}")

    def _reconcile(self, container: Container) -> Container:
        """Believe the lock more than the database."""
        folder = f"{self._folder}/{container.id}"
        if container.status != "running" or _is_locked(f"{folder}/lock"):
            return container
        exit_code, reason, finished = _last_words(f"{folder}/exit.json")
        self.finish(container.id, exit_code=exit_code, reason=reason, finished=finished)
        return self._get("id = ?", (container.id,)) or container


def _was_to_go(container: Container) -> bool:
    mould = json.loads(container.spec).get("mould", {})
    return bool(mould.get("remove"))


def _is_locked(path: str) -> bool:
    """Asked with a shared lock: two who ask do not take each other for the one who holds it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _last_words(path: str) -> tuple[int, str, float | None]:
    """Exit code, reason and time from the monitor's `exit.json`, or what must be assumed without one."""
    try:
        with open(path, encoding="utf-8") as file:
            said = json.load(file)
        return int(said["exit_code"]), str(said.get("reason") or ""), float(said["finished"])
    except (OSError, ValueError, KeyError, TypeError):
        return _KILLED, "its engine ended", None


def _row(container: Container) -> tuple[object, ...]:
    return (
        container.id, container.name, container.image, str(container.image_id), json.dumps(container.command),
        container.created.timestamp(), container.status, _seconds(container.started), _seconds(container.finished),
        container.exit_code, container.reason, container.pid, container.spec,
    )  # fmt: skip


def _container(row: tuple[Any, ...]) -> Container:
    return Container(
        id=row[0], name=row[1], image=row[2], image_id=Digest.parse(row[3]), command=tuple(json.loads(row[4])),
        created=_moment(row[5]), status=row[6], started=_moment(row[7]) if row[7] else None,
        finished=_moment(row[8]) if row[8] else None, exit_code=row[9], reason=row[10], pid=row[11], spec=row[12],
    )  # fmt: skip


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
