"""Blobs: files named by their digest, exactly as a registry served them; and blobs on their way.

Runs in: the notebook kernel; `Partial.write` on the threads that download.
"""

import contextlib
import errno
import fcntl
import os
import threading
from collections.abc import Callable

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import StoreError, WrongDigest, WrongSize


class Blobs:
    """Where blobs are. A blob that is in its place has been verified."""

    def __init__(self, folder: str, partial_folder: str) -> None:
        self._folder = folder
        self._partial_folder = partial_folder

    def path(self, digest: Digest) -> str:
        """The file of a blob, here or not."""
        return f"{self._folder}/sha256/{digest.hex}"

    def has(self, digest: Digest) -> bool:
        return os.path.isfile(self.path(digest))

    def read(self, digest: Digest) -> bytes:
        """A whole small blob: a manifest or a config. Raises StoreError if it is not here."""
        try:
            with open(self.path(digest), "rb") as file:
                return file.read()
        except OSError as error:
            raise StoreError(f"blob {digest} cannot be read: {error.strerror}", hint="pull its image again") from error

    def put(self, digest: Digest, content: bytes) -> None:
        """Keep a whole small blob. Raises WrongDigest if the content is not what its name promises."""
        actual = Digest.of(content)
        if actual != digest:
            raise WrongDigest(f"these {len(content)} bytes are not blob {digest.short}", expected=digest, actual=actual)
        if self.has(digest):
            return
        temporary = f"{self._partial_folder}/{digest.hex}.{os.urandom(4).hex()}.new"
        try:
            with open(temporary, "xb") as file:
                file.write(content)
            os.rename(temporary, self.path(digest))
        except OSError as error:
            raise disk_error(error, "a blob cannot be written") from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def turn(self, digest: Digest) -> "Turn":
        """Whose turn it is to bring a blob. Nobody holds it yet."""
        return Turn(f"{self._partial_folder}/{digest.hex}.lock")

    def partial(self, digest: Digest, size: int) -> "Partial":
        """The blob as far as it has come; only for the holder of its turn.

        A blob that is here although its layer is not goes the whole way once more, without being fetched.
        """
        try:
            if self.has(digest):
                return Partial(self.path(digest), self.path(digest), size, is_whole=True)
            return Partial(f"{self._partial_folder}/{digest.hex}", self.path(digest), size)
        except OSError as error:
            raise disk_error(error, "a partial blob cannot be opened") from error


class Turn:
    """A lock over processes and threads (flock). Whoever dies gives it back."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def try_take(self) -> bool:
        """Take it unless somebody else has it. Never blocks."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The last holder removes the file: a lock on a file without a name would keep nobody out.
            if os.fstat(fd).st_ino == os.stat(self._path).st_ino:
                self._fd, fd = fd, -1
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            if fd >= 0:
                os.close(fd)
        return False

    def give_back(self) -> None:
        """Idempotent."""
        if self._fd >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)
            os.close(self._fd)
            self._fd = -1


class Partial:
    """A blob on its way: one thread writes it, the unpacker reads the same file behind it.

    It stays on disk until it is committed or discarded, so the next pull goes on where this one ended.
    """

    def __init__(self, path: str, final_path: str, size: int, *, is_whole: bool = False) -> None:
        self.is_whole = is_whole  # a blob in its place: it is only read
        self._path = path
        self._final_path = final_path
        self._mutex = threading.Lock()
        self._stopped = False
        mode = os.O_RDONLY if is_whole else os.O_RDWR | os.O_CREAT
        self.fd = os.open(path, mode | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        here = os.fstat(self.fd).st_size
        if is_whole and here != size:
            os.close(self.fd)
            raise WrongSize(f"a blob has {here} bytes, and {size} by the manifest", expected=size, actual=here)
        if here > size:
            os.ftruncate(self.fd, 0)
            here = 0
        self.was_begun = here > 0  # by an earlier pull, which may have left anything
        self.resumed_from = here
        self.arrived = here
        self.size = size
        self._position = here
        self.on_arrival: Callable[[], None] | None = None

    @property
    def offset(self) -> int:
        """How many bytes are there: where a download goes on."""
        return self._position

    def write(self, chunk: bytes) -> None:
        """Append. Raises StoreError when the disk is full, and after `stop`."""
        with self._mutex:
            if self._stopped:
                raise StoreError("the pull was stopped")
            view = memoryview(chunk)
            try:
                while view:
                    written = os.pwrite(self.fd, view, self._position)
                    self._position += written
                    view = view[written:]
            except OSError as error:
                raise disk_error(error, "a blob cannot be written") from error
            if self._position > self.arrived:
                self.arrived = self._position
        if self.on_arrival is not None:
            self.on_arrival()

    def restart(self) -> None:
        """The server begins at zero again. The same bytes come again, so those that are there stay readable."""
        with self._mutex:
            self._position = 0
            self.resumed_from = 0

    def stop(self) -> None:
        """Refuse further writing, for a thread that hangs in its socket."""
        with self._mutex:
            if not self._stopped:
                self._stopped = True
                os.close(self.fd)

    def commit(self) -> None:
        """It has been verified: make it a blob."""
        os.rename(self._path, self._final_path)

    def discard(self) -> None:
        """Nothing of it can be used."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


def disk_error(error: OSError, what: str) -> StoreError:
    """What an OSError below the home means to its owner."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"{what}: no space left on the disk", hint="free some space and try again")
    return StoreError(f"{what}: {error.strerror}", hint="check the permissions and the disk of the home")
