"""The notebook kernel's end of an unpacker process.

Runs in: the notebook kernel, on the thread that pulls.
"""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from pyck_magic.model import errors
from pyck_magic.model.digest import Digest

IdMap = tuple[tuple[int, int, int], ...]

_MESSAGE_MAX = 1 << 16
_START = """\
import sys
sys.path[:0] = sys.argv[4:]
from pyck_magic.store.unpacker import main
main(int(sys.argv[1]), sys.argv[2], "zstd" in sys.argv[3], "range" in sys.argv[3])
"""


class Unpacker:
    """One process that unpacks one layer after the other. Give it one at a time.

    `folder` is where the directories to unpack into are; `zstd` says whether any layer will be compressed so.
    `ids` are the maps (uids, gids) of a user namespace for it, in which it owns this user's subordinate ids; raises
    NotPossibleHere where they cannot be had.
    """

    def __init__(self, folder: str, *, zstd: bool, ids: tuple[IdMap, IdMap] | None = None) -> None:
        wishes = ("zstd " if zstd else "") + ("range" if ids else "")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, str(theirs.fileno()), folder, wishes, *_search_path()],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C on a terminal is ours to answer
            )
        except OSError as error:
            ours.close()
            raise errors.StoreError(f"the unpacker cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._socket = ours
        if ids is not None:
            try:
                self.receive()
                self._give_ids(*ids)
            except BaseException:
                self.close()
                raise
            self._send({"ids": "given"})

    @property
    def pid(self) -> int:
        """The process's, for those who measure it."""
        return self._process.pid

    def fileno(self) -> int:
        """Readable when the unpacker has said something."""
        return self._socket.fileno()

    def give(
        self, blob_fd: int, *, size: int, arrived: int, digest: Digest, diff_id: Digest, media_type: str, into: str | None
    ) -> None:
        """Have a blob unpacked into the directory of this name; with None it is only verified.

        `arrived` of its `size` bytes are in the file already; the unpacker will ask for `more`.
        """
        job: dict[str, object] = {
            "digest": digest.hex, "diff_id": diff_id.hex, "media_type": media_type, "into": into,
            "size": size, "arrived": arrived,
        }  # fmt: skip
        self._send(job, blob_fd)

    def more(self, arrived: int) -> None:
        """Answer `hungry`: this many bytes are there now."""
        self._send({"arrived": arrived})

    def receive(self) -> dict[str, object]:
        """What it says next: `consumed`, `hungry`, `done` or `failed`. Raises StoreError when it has died."""
        try:
            message = self._socket.recv(_MESSAGE_MAX)
        except ConnectionResetError:
            message = b""
        if not message:
            raise self._died()
        return dict(json.loads(message))

    def remove(self, name: str) -> None:
        """Have a directory removed that only it may."""
        self._send({"remove": name})

    def close(self) -> None:
        """End it, whatever it is doing. What it has unpacked so far is for the caller to remove."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _give_ids(self, uid_map: IdMap, gid_map: IdMap) -> None:
        """Have the setuid helpers write its maps; they check /etc/subuid and /etc/subgid (newuidmap(1))."""
        for helper, ids in (("newuidmap", uid_map), ("newgidmap", gid_map)):
            argv = [helper, str(self.pid), *(str(number) for entry in ids for number in entry)]
            try:
                subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL)
            except (OSError, subprocess.CalledProcessError) as error:
                raise errors.NotPossibleHere(
                    f"{helper} did not give us the range of ids",
                    hint="install uidmap, and have ids granted in /etc/subuid and /etc/subgid",
                ) from error

    def _send(self, message: dict[str, object], *descriptors: int) -> None:
        try:
            socket.send_fds(self._socket, [json.dumps(message).encode("ascii")], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            raise self._died() from None

    def _died(self) -> errors.StoreError:
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return errors.StoreError(f"the unpacker ended unexpectedly {how}", hint="if memory is short, free some and pull again")


def as_error(failed: dict[str, str]) -> errors.PyckError:
    """The error that an unpacker's `failed` message stands for."""
    kind = getattr(errors, failed["error"])
    details = {key: failed[key] for key in ("expected", "actual") if key in failed}
    error: errors.PyckError = kind(failed["message"], hint=failed["hint"], **details)
    return error


def _search_path() -> list[str]:
    """Where the unpacker finds us and our lodgers, without reading the environment's `site`."""
    found = [str(Path(__file__).parents[2])]
    for lodger in ("isal", "zstandard"):
        spec = importlib.util.find_spec(lodger)
        if spec is not None and spec.origin is not None:
            folder = os.path.dirname(os.path.dirname(spec.origin))
            if folder not in found:
                found.append(folder)
    return found
