"""A proxy between pyck and a registry that counts what goes by, and can drop a connection at a chosen byte.

Runs in:    a test's process, one thread a connection; standard library only.

    with CountingProxy("127.0.0.1", registry.port) as proxy:
        engine.pull(f"{proxy.address}/blast")
        assert proxy.body_bytes("/blobs/") < 1000

It understands just enough HTTP/1.1 to know which response belongs to which request on a kept-open connection.
"""

import contextlib
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO


@dataclass
class Exchange:
    """One request and what came back."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    body_bytes: int = 0
    dropped: bool = False


@dataclass
class CountingProxy:
    """Forwards to `host:port`.

    `drop_after` maps a piece of a path to the body byte at which its connection is cut, once each. `pace` is the most
    bytes a second that one connection gets: a slow line, for those who watch.
    """

    host: str
    port: int
    drop_after: dict[str, int] = field(default_factory=dict)
    pace: int | None = None
    exchanges: list[Exchange] = field(default_factory=list)

    def __enter__(self) -> "CountingProxy":
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                cut(connection)

    def body_bytes(self, part: str = "") -> int:
        """How many bytes of response bodies went by, for paths that contain `part`."""
        return sum(one.body_bytes for one in list(self.exchanges) if part in one.path)

    def by_path(self) -> Counter[str]:
        """Response body bytes by path."""
        counted: Counter[str] = Counter()
        for one in list(self.exchanges):
            counted[one.path] += one.body_bytes
        return counted

    def requests(self, part: str = "", method: str = "GET") -> list[Exchange]:
        """The requests whose path contains `part`, oldest first."""
        return [one for one in list(self.exchanges) if part in one.path and one.method == method]

    def forget(self) -> None:
        """Count from zero."""
        self.exchanges.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection((self.host, self.port))
        with self._lock:
            self._open |= {client, server}
        try:
            with client, server, client.makefile("rb") as asks, server.makefile("rb") as answers:
                while self._exchange(client, server, asks, answers):
                    pass
        except OSError:
            pass  # one side hung up: so do we
        finally:
            with self._lock:
                self._open -= {client, server}

    def _exchange(self, client: socket.socket, server: socket.socket, asks: BinaryIO, answers: BinaryIO) -> bool:
        """Pass one request and its response on; False when the connection is over."""
        first, headers, raw = read_head(asks)
        if not first:
            return False
        method, path, _ = first.split(" ", 2)
        seen = Exchange(method, path, headers)
        self.exchanges.append(seen)
        server.sendall(raw + asks.read(int(headers.get("content-length", 0))))
        status, headers, raw = read_head(answers)
        if not status:
            return False
        seen.status = int(status.split(" ", 2)[1])
        client.sendall(raw)
        if method == "HEAD" or seen.status in {204, 304}:
            return True
        return self._body(client, answers, headers, seen)

    def _body(self, client: socket.socket, answers: BinaryIO, headers: dict[str, str], seen: Exchange) -> bool:
        if headers.get("transfer-encoding") == "chunked":
            while True:
                line = answers.readline()
                size = int(line.split(b";")[0], 16)
                client.sendall(line + answers.read(size + 2))
                seen.body_bytes += size
                if not size:
                    return True
        left = int(headers.get("content-length", 0))
        limit = self._limit(seen.path)
        while left:
            want = min(65536, left) if limit is None else min(65536, left, limit - seen.body_bytes)
            if want == 0:
                seen.dropped = True
                return False
            piece = answers.read(want)
            if not piece:
                return False
            client.sendall(piece)
            if self.pace:
                time.sleep(len(piece) / self.pace)
            seen.body_bytes += len(piece)
            left -= len(piece)
        return True

    def _limit(self, path: str) -> int | None:
        """Where to cut this response, if one of the wishes is about it; a wish is used up."""
        with self._lock:
            for part in list(self.drop_after):
                if part in path:
                    return self.drop_after.pop(part)
        return None


def read_head(stream: BinaryIO) -> tuple[str, dict[str, str], bytes]:
    """The first line, the headers by lower-case name, and all of it as it came. Empty at the end of the connection."""
    lines: list[bytes] = []
    while (line := stream.readline()) not in {b"\r\n", b""}:
        lines.append(line)
    if not lines or b"HTTP/1." not in lines[0]:  # the end, or a client that tries TLS first
        return "", {}, b""
    fields = [one.decode("latin-1").split(":", 1) for one in lines[1:]]
    return lines[0].decode("latin-1").strip(), {n.strip().lower(): v.strip() for n, v in fields}, b"".join(lines) + b"\r\n"


def cut(connection: socket.socket) -> None:
    """End a connection that another thread may be waiting on."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
