"""The database of a home: names, images, containers. Everything that must change together changes in one transaction.

Runs in: the notebook kernel, or the `pyck` command; any thread.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from typing import Any

from pyck_magic.model.errors import StoreError

_VERSION = 1
_BUSY_S = 20.0

_SCHEMA = """
CREATE TABLE images (
    id TEXT PRIMARY KEY,
    manifest TEXT NOT NULL,
    platform TEXT NOT NULL,
    config BLOB NOT NULL,
    added REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE image_layers (
    image TEXT NOT NULL REFERENCES images ON DELETE CASCADE,
    position INTEGER NOT NULL,
    diff_id TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    PRIMARY KEY (image, position)
) WITHOUT ROWID;
CREATE INDEX image_layers_by_layer ON image_layers (diff_id);
CREATE TABLE image_blobs (
    image TEXT NOT NULL REFERENCES images ON DELETE CASCADE,
    blob TEXT NOT NULL,
    PRIMARY KEY (image, blob)
) WITHOUT ROWID;
CREATE INDEX image_blobs_by_blob ON image_blobs (blob);
CREATE TABLE names (
    name TEXT PRIMARY KEY,
    image TEXT NOT NULL REFERENCES images ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX names_by_image ON names (image);
CREATE TABLE repo_digests (
    name TEXT PRIMARY KEY,
    image TEXT NOT NULL REFERENCES images ON DELETE CASCADE,
    shown INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX repo_digests_by_image ON repo_digests (image);
CREATE TABLE containers (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    image TEXT NOT NULL,
    image_id TEXT NOT NULL,
    command TEXT NOT NULL,
    created REAL NOT NULL,
    status TEXT NOT NULL,
    started REAL,
    finished REAL,
    exit_code INTEGER,
    reason TEXT NOT NULL,
    pid INTEGER,
    spec TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX containers_by_image ON containers (image_id);
CREATE INDEX containers_by_time ON containers (created);
"""


class Database:
    """One connection, shared by the threads of a process. Rows come as tuples.

    Every failure of SQLite leaves as StoreError, except IntegrityError, which the caller knows the meaning of.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._mutex = threading.RLock()
        with self._explained():
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            # WAL where the filesystem allows shared memory; SQLite itself stays with DELETE where it does not.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            self._prepare()

    def _prepare(self) -> None:
        version = self._version()
        if version == 0:
            with self.transaction():
                if self._version() == 0:
                    for statement in _SCHEMA.split(";"):
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise StoreError(
                f"{self._path} was written by another version of pyck (format {version}, this one reads {_VERSION})",
                hint="use that version, or point PYCK_HOME at another folder",
            )

    def _version(self) -> int:
        row = self._connection.execute("PRAGMA user_version").fetchone()
        return int(row[0])

    def others_changes(self) -> int:
        """Another number after any other connection, of whatever process, has changed something (PRAGMA data_version)."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a query, or of a single statement that changes something."""
        with self._mutex, self._explained():
            return self._connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside happen, or none. Takes SQLite's write lock at once, so that what is read stays true."""
        with self._mutex, self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Further use is a StoreError."""
        with self._mutex:
            self._connection.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise StoreError(f"the database {self._path} cannot be used: {error}", hint=_advice(error)) from error


def _advice(error: sqlite3.Error) -> str:
    match getattr(error, "sqlite_errorname", ""):
        case "SQLITE_FULL":
            return "the disk is full: free some space and try again"
        case "SQLITE_BUSY" | "SQLITE_LOCKED":
            return "another process holds it: wait for it to finish and try again"
        case "SQLITE_NOTADB" | "SQLITE_CORRUPT":
            return "it is damaged: move it away; layers that were downloaded are found again by the next pull"
        case "SQLITE_READONLY" | "SQLITE_CANTOPEN" | "SQLITE_PERM":
            return "make its folder writable, or point PYCK_HOME at one that is"
        case _:
            return "check the disk, or point PYCK_HOME at another folder"
