"""What `pyck run` reads and writes, wherever that leads; and a disk that is full."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pyck_magic import Engine
from pyck_magic.linux import libc
from tests.conftest import Pulled
from tests.images.registry import Registry


def shell(pulled: Pulled, line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of a shell in which `$run` runs a container of the tiny image."""
    run = f"{sys.executable} -m pyck_magic run --rm {pulled.tiny}"
    env = {**os.environ, "PYCK_HOME": str(pulled.home), "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(["bash", "-c", line.replace("$run", run)], cwd=folder, env=env, capture_output=True, text=True)


def test_files_are_appended_to(pulled: Pulled, tmp_path: Path) -> None:
    """Output into a file is not lost when the program opens /dev/stdout or /dev/stderr by name; what was there stays."""
    shell(pulled, "$run sh -c 'echo a; echo b > /dev/stdout; echo c' > new", tmp_path)
    assert (tmp_path / "new").read_text() == "a\nb\nc\n"
    shell(pulled, "echo before > log; $run sh -c 'echo body; echo warn > /dev/stderr' >> log 2>&1", tmp_path)
    assert sorted((tmp_path / "log").read_text().split()) == ["before", "body", "warn"]


@pytest.mark.parametrize(
    ("line", "printed", "code"),
    [
        ("$run yes | head -1; exit ${PIPESTATUS[0]}", "y\n", 141),
        ("$run echo x >&-", "", 0),
        ("$run echo x 2>&- <&-", "x\n", 0),
        ("echo in | $run cat", "", 0),
        ("$run sh -c 'printf \"\\000\\377\"' | od -An -tx1", " 00 ff\n", 0),
    ],
    ids=["a reader that leaves", "no stdout", "only stdout", "no -i, no stdin", "bytes"],
)
def test_odd_streams(line: str, printed: str, code: int, pulled: Pulled, tmp_path: Path) -> None:
    """Whatever stands at the other end, or nothing at all: the program's exit code, and no traceback."""
    done = shell(pulled, line, tmp_path)
    assert (done.stdout, done.returncode) == (printed, code)
    assert "Traceback" not in done.stderr


@pytest.mark.needs_root
def test_a_full_disk(registry: Registry, tmp_path: Path) -> None:
    """A program that fills the disk has its own exit code, and what it wrote goes; an image can be removed all the same."""
    disk = tmp_path / "disk"
    disk.mkdir()
    libc.mount("tmpfs", str(disk), "tmpfs", 0, "size=64m")
    try:
        with Engine(disk / "home") as engine:
            name = f"{registry.address}/tiny:latest"
            engine.pull(name)
            done = engine.run(name, "dd if=/dev/zero of=/big bs=1M count=200 2>/dev/null || echo done; exit 5", check=False)
            assert (done.text, done.exit_code) == ("done\n", 5)
            deadline = time.monotonic() + 10
            while engine.containers.list(all=True):  # until its monitor has cleaned up
                assert time.monotonic() < deadline
                time.sleep(0.01)
        with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
            while True:
                filler.write(bytes(4096))
        with Engine(disk / "home") as engine:
            assert engine.images.remove(name)[0].startswith("Untagged: ")
            assert engine.images.list() == ()
    finally:
        libc.umount2(str(disk), libc.MNT_DETACH)
