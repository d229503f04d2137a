"""How the processes of a run talk: whole messages over SOCK_SEQPACKET, descriptors beside them.

Runs in: everywhere between the notebook kernel and the newborn.

    kernel → launcher     prepare        a sandbox of the mould that comes along
    launcher → kernel     sandbox        with the ends of two sockets, or why there is none
    kernel → newborn      run            with spec, stdin, stdout, stderr
    kernel → monitor      run            with conversation and spec
    newborn → monitor     failed | started | exited
    monitor → kernel      failed, or started and at last exited
    kernel → monitor      signal N | kill | done (results are read); hanging up means kill
"""

import array
import errno
import json
import os
import socket
from typing import Any

# SEQPACKET messages must fit the socket buffer; big things travel as memfds.
_LARGEST = 64 * 1024
_MOST_DESCRIPTORS = 16


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a conversation, close-on-exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, word: str, fds: tuple[int, ...] = (), **fields: Any) -> None:
    """Say `word`; the descriptors are duplicated into the listener. Raises OSError (EPIPE) when nobody listens."""
    data = json.dumps({"word": word, **fields}).encode("ascii")
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    end.sendmsg([data], rights, socket.MSG_NOSIGNAL)


def receive(end: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next message and its descriptors (close-on-exec), or None when the other end has hung up.

    Raises OSError (EMFILE) when there is no room for the descriptors.
    """
    room = socket.CMSG_LEN(_MOST_DESCRIPTORS * array.array("i").itemsize)
    try:
        data, ancillary, flags, _address = end.recvmsg(_LARGEST, room, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        # The other end hung up on words of ours. What it had said before is still there, behind the error.
        data, ancillary, flags, _address = end.recvmsg(_LARGEST, room, socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
            fds.extend(numbers)
    if flags & socket.MSG_CTRUNC:
        for fd in fds:
            os.close(fd)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    if not data:
        return None
    return json.loads(data), fds


def sealed(data: bytes, name: str) -> int:
    """A memfd with `data` in it, to be read from the start by whoever gets it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return fd


def contents(fd: int) -> bytes:
    """All of a memfd, whatever its offset."""
    return os.pread(fd, os.fstat(fd).st_size, 0)
