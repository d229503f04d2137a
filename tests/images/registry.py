"""A real registry (Debian's docker-registry, CNCF distribution) on a free port of this machine.

Runs in:    tests, the demo and the benchmarks; standard library only.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.request import urlopen


class Registry:
    """A running `docker-registry` with its files below `root`; ended on leaving the block, by its process id."""

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self.root = root
        self.read_only = read_only
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"

    def __enter__(self) -> "Registry":
        program = shutil.which("docker-registry")
        if not program:
            raise FileNotFoundError("docker-registry is missing: apt-get install docker-registry")
        self.folder = Path(tempfile.mkdtemp(prefix="pyck-registry-"))
        settings = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self.root)},
                "maintenance": {"readonly": {"enabled": self.read_only}},
            },
            "http": {"addr": self.address},
        }
        (self.folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML too
        quiet = {"PATH": os.environ.get("PATH", os.defpath), "OTEL_TRACES_EXPORTER": "none"}
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [program, "serve", str(self.folder / "config.yml")], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=quiet
            )
        self._wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self) -> None:
        for _ in range(200):
            try:
                with urlopen(f"http://{self.address}/v2/", timeout=2):
                    return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError(f"docker-registry does not answer: {(self.folder / 'log').read_text()[-2000:]}")


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
