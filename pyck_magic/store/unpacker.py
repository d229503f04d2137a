"""Verify and unpack layers, in one pass over their bytes, while they are still being downloaded.

Runs in: a process of its own, one thread, started by `store.workers` with the standard library, isal and zstandard.

The partial file is the channel: the notebook kernel's threads append to it, we read behind them and ask when we have
read all that we know of. Each byte is read once: SHA-256, decompress, SHA-256, parse, write. Messages are JSON, one a
packet; a packet with a layer brings the partial file's descriptor along. Closing the socket ends this process.
"""

import contextlib
import errno
import hashlib
import json
import os
import resource
import signal
import socket
import time
from dataclasses import asdict

from pyck_magic.linux import libc, trees
from pyck_magic.model.errors import BadArchive, BrokenContent, PyckError, StoreError, WrongDigest
from pyck_magic.store import compression, tar
from pyck_magic.store.tree import Tally, Tree

_READ = 1 << 18
_MESSAGE_MAX = 1 << 16
_TELL_EVERY_S = 0.1
_OPEN_FILES = 4096
# What the kernel says about entries that no filesystem of ours can hold: the archive's fault, not the disk's.
_ARCHIVES_FAULT = (errno.ENAMETOOLONG, errno.EFBIG, errno.EINVAL, errno.EMLINK, errno.EOVERFLOW, errno.ENOTDIR)


def main(socket_fd: int, folder: str, zstd: bool, ranged: bool) -> None:
    """Serve layers until the other end closes. `folder` is where the directories to unpack into are.

    `ranged` is for the subordinate ids of an ordinary user: our maker gives them to the user namespace that we make
    (only newuidmap may, user_namespaces(7)), and then says so.
    """
    libc.set_process_name("pyck-unpacker")
    conversation = _Conversation(socket.socket(fileno=socket_fd))
    if ranged:
        libc.unshare(libc.CLONE_NEWUSER)
        conversation.await_ids()
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES, hard) if hard >= 0 else _OPEN_FILES, hard))
    if zstd:
        import zstandard  # noqa: F401  # now: in the chroot it could not be found
    real_owners = owns_all_ids()
    os.chdir(folder)
    with contextlib.suppress(PermissionError):
        os.chroot(".")  # A second wall behind `directories`, for whoever may build it.
    with contextlib.suppress(EOFError):
        _serve(conversation, real_owners)


def _serve(conversation: "_Conversation", real_owners: bool) -> None:
    while True:
        job, partial_fd = conversation.next_job()
        try:
            if "remove" in job:
                trees.remove(str(job["remove"]))
                conversation.say(done={})
            else:
                conversation.say(done=asdict(_unpack(job, partial_fd, conversation, real_owners)))
        except PyckError as error:
            conversation.say(failed=_as_message(error))
        except OSError as error:
            conversation.say(failed=_as_message(_explain(error)))
        except EOFError:
            raise
        except Exception as error:  # This process's last frame: whatever it is, say it instead of dying with it.
            conversation.say(failed=_as_message(StoreError(f"the unpacker failed: {type(error).__name__}: {error}")))
        finally:
            if partial_fd >= 0:
                os.close(partial_fd)


def owns_all_ids() -> bool:
    """May this process give files to any user? Root may, unless its user namespace knows only a few ids (user_namespaces(7))."""
    if os.geteuid() != 0:
        return False
    with open("/proc/self/uid_map", encoding="ascii") as uid_map:
        return sum(int(line.split()[2]) for line in uid_map) >= 1 << 16


class _Conversation:
    """Our end of the socket. EOFError when nobody listens any more."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def await_ids(self) -> None:
        """Say that the user namespace is there, and wait until its maps are written."""
        self.say(unshared=True)
        if not self._connection.recv(_MESSAGE_MAX):
            raise SystemExit(1)

    def next_job(self) -> tuple[dict[str, object], int]:
        message, descriptors, _flags, _address = socket.recv_fds(self._connection, _MESSAGE_MAX, 1)
        if not message:
            raise EOFError
        return json.loads(message), descriptors[0] if descriptors else -1

    def more_than(self, known: int) -> int:
        """Ask how many bytes of the partial file there are, and wait until they are more than `known`."""
        self.say(hungry=known)
        answer = self._connection.recv(_MESSAGE_MAX)
        if not answer:
            raise EOFError
        return int(json.loads(answer)["arrived"])

    def say(self, **message: object) -> None:
        try:
            self._connection.send(json.dumps(message).encode("ascii"))
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None


class _Arriving:
    """The compressed bytes of one blob, hashed as they are read."""

    def __init__(self, partial_fd: int, size: int, arrived: int, conversation: _Conversation) -> None:
        self._fd = partial_fd
        self._size = size
        self._arrived = arrived
        self._conversation = conversation
        self._at = 0
        self._hash = hashlib.sha256()
        self._tell_at = time.monotonic() + _TELL_EVERY_S

    def read(self) -> bytes:
        """The next bytes, as soon as there are any; b"" at the end."""
        if self._at == self._arrived:
            if self._at == self._size:
                return b""
            self._arrived = self._conversation.more_than(self._at)
        piece = os.pread(self._fd, min(_READ, self._arrived - self._at), self._at)
        if not piece:
            raise StoreError("a partial blob became shorter while it was read", hint="pull again")
        self._hash.update(piece)
        self._at += len(piece)
        if time.monotonic() >= self._tell_at:
            self._conversation.say(consumed=self._at)
            self._tell_at = time.monotonic() + _TELL_EVERY_S
        return piece

    def verify(self, digest: str) -> None:
        """Read what nobody has asked for, and compare. Raises WrongDigest."""
        while self.read():
            pass
        _compare("a blob", digest, self._hash.hexdigest())


def _unpack(job: dict[str, object], partial_fd: int, conversation: _Conversation, real_owners: bool) -> Tally:
    """Bring one layer from its partial file into its directory; without a directory only verify it."""
    arriving = _Arriving(partial_fd, int(str(job["size"])), int(str(job["arrived"])), conversation)
    digest, diff_id, into = str(job["digest"]), str(job["diff_id"]), job["into"]
    if into is None:
        arriving.verify(digest)
        return Tally(size_bytes=0, entries=0, skipped=0)
    plain_hash = hashlib.sha256()
    tree = None
    root_fd = os.open(str(into), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        plain = compression.opened(arriving.read, str(job["media_type"]))

        def read_and_hash() -> bytes:
            piece = plain.read()
            plain_hash.update(piece)
            return piece

        reader = tar.Reader(read_and_hash)
        tree = Tree(root_fd, real_owners=real_owners)
        for entry in reader:
            tree.add(entry, reader.body())
        reader.drain()
        tally = tree.finish()
    except BrokenContent:
        arriving.verify(digest)  # If the bytes are the wrong ones, that is the better explanation.
        raise
    finally:
        if tree is not None:
            tree.close()
        os.close(root_fd)
    arriving.verify(digest)
    _compare("an unpacked layer", diff_id, plain_hash.hexdigest())
    return tally


def _compare(what: str, expected: str, actual: str) -> None:
    if expected != actual:
        raise WrongDigest(
            f"{what} has a wrong digest: sha256:{actual} instead of sha256:{expected}",
            expected=f"sha256:{expected}",
            actual=f"sha256:{actual}",
            hint="pull again; if it happens again, the registry or a mirror serves broken data",
        )


def _explain(error: OSError) -> PyckError:
    about = f" ({ascii(error.filename)[:200]})" if error.filename else ""
    if error.errno in _ARCHIVES_FAULT:
        return BadArchive(f"a layer holds something that cannot be made here: {error.strerror}{about}")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError("a layer cannot be unpacked: no space left on the disk", hint="free some space and pull again")
    return StoreError(
        f"a layer cannot be unpacked: {error.strerror}{about}", hint="check the permissions and the disk of the home"
    )


def _as_message(error: PyckError) -> dict[str, str]:
    message = {"error": type(error).__name__, "message": str(error), "hint": error.hint}
    if isinstance(error, BrokenContent):
        message |= {"expected": error.expected, "actual": error.actual}
    return message
