"""A registry that lies on purpose: honest by default, and told by a test where not to be.

Runs in:    a test's process, one thread a connection; standard library only.

    with LyingRegistry() as registry:
        registry.add_image("tool", layers=[b"..."])
        registry.fault("/manifests/latest", status(503), times=2)
"""

import contextlib
import hashlib
import json
import re
import socket
import ssl
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OCI = "application/vnd.oci.image."
DOCKER = "application/vnd.docker."
MANIFEST = f"{OCI}manifest.v1+json"

Fault = Callable[["Handler"], None]
_FOREVER = 1 << 30


def digest_of(data: bytes) -> str:
    """As a registry writes it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class Handler(BaseHTTPRequestHandler):
    """Answers a request honestly, or as a fault has it."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        owner = self.server.owner
        length = int(self.headers.get("Content-Length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with owner.mutex:
            owner.asked.append(Asked(self.command, self.path, headers, self.rfile.read(length)))
            fault = owner.next_fault(self.path)
        with contextlib.suppress(OSError):
            (fault or owner.serve)(self)

    do_POST = do_GET

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer. Underscores in names of headers stand for hyphens; `content_length` may lie."""
        headers.setdefault("content_length", str(len(body)))
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        """Cut the connection without a goodbye."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: "LyingRegistry"

    def handle_error(self, *_request: object) -> None:
        """A client that hangs up, or speaks no TLS, is part of the tests."""


@dataclass
class LyingRegistry:
    """`address` is what stands before the repository in a reference. `guard` decides on every honest answer first."""

    certificate: ssl.SSLContext | None = None
    host: str = "127.0.0.1"
    asked: list[Asked] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    guard: Callable[[Handler], bool] = lambda _handler: True
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "LyingRegistry":
        self._faults: dict[str, list[tuple[Fault, int]]] = defaultdict(list)
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.owner = self
        if self.certificate:
            plain = self._server.socket
            self._server.socket = self.certificate.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_address[1]
        self.address = f"{self.host}:{self.port}"
        self.url = f"{'https' if self.certificate else 'http'}://{self.address}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- what it has

    def add_blob(self, data: bytes) -> str:
        """Keep a blob; returns its digest."""
        self.blobs[digest_of(data)] = data
        return digest_of(data)

    def add_manifest(self, document: object, *tags: str, repository: str = "tool", media_type: str = MANIFEST) -> str:
        """Keep a manifest or index, given as bytes or to be made JSON; returns its digest."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        for name in (digest_of(data), *tags):
            self.manifests[f"{repository}/{name}"] = (media_type, data)
        return digest_of(data)

    def add_image(
        self, *tags: str, repository: str = "tool", layers: Sequence[bytes] = (b"layer",), architecture: str = "amd64",
        created: str = "2026-01-01T00:00:00Z", diff_ids: Sequence[str] | None = None, kind: str = "tar",
    ) -> str:  # fmt: skip
        """Keep a whole image; returns its manifest's digest."""
        rootfs = {"type": "layers", "diff_ids": list(diff_ids) if diff_ids is not None else [digest_of(one) for one in layers]}
        config = json.dumps(
            {"architecture": architecture, "os": "linux", "created": created, "config": {}, "rootfs": rootfs}
        ).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}manifest.v1+json",
            "config": self.described(config, f"{OCI}config.v1+json"),
            "layers": [self.described(one, f"{OCI}layer.v1.{kind}") for one in layers],
        }
        return self.add_manifest(manifest, *tags, repository=repository)

    def described(self, blob: bytes, media_type: str) -> dict[str, Any]:
        """Keep a blob and describe it."""
        return {"mediaType": media_type, "digest": self.add_blob(blob), "size": len(blob)}

    def add_index(
        self, entries: dict[str, str], *tags: str, repository: str = "tool", extra: Sequence[dict[str, Any]] = ()
    ) -> str:
        """Keep an index of manifests by platform, such as {"linux/amd64": digest}."""
        manifests = []
        for platform, digest in entries.items():
            names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
            media_type, data = self.manifests[f"{repository}/{digest}"]
            manifests.append({"mediaType": media_type, "digest": digest, "size": len(data), "platform": names})
        kind = f"{OCI}index.v1+json"
        document = {"schemaVersion": 2, "mediaType": kind, "manifests": [*extra, *manifests]}
        return self.add_manifest(document, *tags, repository=repository, media_type=kind)

    # -- where it lies

    def fault(self, part: str, fault: Fault, *, times: int = _FOREVER) -> None:
        """Answer requests whose path contains `part` with a fault, so many times, then honestly or by the next fault."""
        self._faults[part].append((fault, times))

    def next_fault(self, path: str) -> Fault | None:
        for part, faults in self._faults.items():
            if part in path and faults:
                fault, times = faults[0]
                faults[0] = (fault, times - 1)
                if times == 1:
                    faults.pop(0)
                return fault
        return None

    def requests(self, part: str = "") -> list[Asked]:
        """Those whose path contains `part`, oldest first."""
        return [one for one in list(self.asked) if part in one.path]

    # -- how it serves

    def serve(self, handler: Handler) -> None:
        """The honest answer (distribution-spec, Pull)."""
        if not self.guard(handler):
            return
        path = handler.path.partition("?")[0]
        if found := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", path):
            self._serve_manifest(handler, "/".join(found.groups()))
        elif found := re.fullmatch(r"/v2/.+/blobs/([^/]+)", path):
            self._serve_blob(handler, found[1])
        elif found := re.fullmatch(r"/v2/(.+)/tags/list", path):
            names = [name.rpartition("/")[2] for name in self.manifests if name.startswith(f"{found[1]}/")]
            tags = [name for name in names if not name.startswith("sha256:")]
            handler.answer(200, json.dumps({"name": found[1], "tags": tags}).encode(), content_type="application/json")
        else:
            handler.answer(404)

    def _serve_manifest(self, handler: Handler, name: str) -> None:
        if name not in self.manifests:
            handler.answer(404, error("MANIFEST_UNKNOWN", "manifest unknown"), content_type="application/json")
            return
        media_type, data = self.manifests[name]
        handler.answer(200, data, content_type=media_type, docker_content_digest=digest_of(data))

    def _serve_blob(self, handler: Handler, digest: str) -> None:
        data = self.blobs.get(digest)
        if data is None:
            handler.answer(404, error("BLOB_UNKNOWN", "blob unknown"), content_type="application/json")
            return
        start = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if start is None:
            handler.answer(200, data)
        elif int(start[1]) >= len(data):
            handler.answer(416)
        else:
            at = int(start[1])
            handler.answer(206, data[at:], content_range=f"bytes {at}-{len(data) - 1}/{len(data)}")


def error(code: str, message: str) -> bytes:
    """A registry's error document."""
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


# -- faults


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    """Another status."""
    return lambda handler: handler.answer(code, body, **headers)


def redirect(url: str) -> Fault:
    """Elsewhere, with the same path if `url` has none."""
    return lambda handler: handler.answer(307, location=url if url.count("/") > 2 else url + handler.path)


def body(data: bytes, **headers: str) -> Fault:
    """200, with this body."""
    return lambda handler: handler.answer(200, data, **headers)


def dropped(data: bytes, at: int) -> Fault:
    """The connection breaks after so many bytes of a blob, counted from its start."""

    def drop(handler: Handler) -> None:
        start = int((re.findall(r"\d+", handler.headers.get("Range", "")) or ["0"])[0])
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        handler.send_header("Content-Length", str(len(data) - start))
        handler.end_headers()
        handler.wfile.write(data[start:at])
        handler.wfile.flush()
        handler.hang_up()

    return drop


def ended_early(data: bytes, at: int) -> Fault:
    """A body without a length that ends, politely, too soon."""

    def end(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(data[:at])
        handler.close_connection = True

    return end


def endless(handler: Handler) -> None:
    """A body that never ends, as fast as it is taken."""
    handler.send_response(200)
    handler.send_header("Content-Type", f"{OCI}manifest.v1+json")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    while True:
        handler.wfile.write(b" " * 65536)


def stalled(handler: Handler) -> None:
    """Headers, and then nothing until the client goes away."""
    handler.send_response(200)
    handler.end_headers()
    handler.connection.recv(1)
