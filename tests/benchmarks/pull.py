"""Pull the BLAST image into an empty store from a registry on this machine, verified and unpacked; and what that takes.

Runs in:    the benchmark's process; podman, docker, umoci and skopeo where they are installed.

Every round uses a store of its own, and all of them are removed only at the end: on ext4, a file system that has just lost
very many files is slow to make new ones for minutes.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import rivals
from tests.benchmarks.harness import Absent, Contestant, Table, race
from tests.images.build import ready
from tests.images.registry import Registry

ROUNDS = 5
IMAGE = "blast"
_ROOT = Path(__file__).parents[2]


def tables() -> Iterator[Table]:
    """Wall time beside others, and our peak memory."""
    with Registry(ready().registry_root, read_only=True) as registry, _folder() as folder:
        reference = f"{registry.address}/{IMAGE}:latest"
        fresh = (folder / str(number) for number in itertools.count())
        table = Table("Pull of the BLAST image into an empty store", ours="pyck", goals={"docker": 3})
        with contextlib.ExitStack() as daemons:
            race(
                table,
                {
                    "pyck": lambda: _pyck(next(fresh), reference),
                    "docker": _docker(daemons, folder / "docker", reference),
                    "podman": lambda: _podman(next(fresh), reference),
                    "skopeo + umoci": lambda: _umoci(next(fresh), reference),
                    "skopeo, not unpacked": lambda: _skopeo(next(fresh), reference),
                },
                rounds=ROUNDS,
            )
        yield table
        yield _memory(fresh, reference)


def _pyck(home: Path, reference: str) -> float:
    """In a process that has the engine loaded, as a notebook has; the time is the pull's own."""
    program = (
        "import sys, time; from pyck_magic import Engine; import pyck_magic.registry; engine = Engine(sys.argv[1]); "
        "began = time.perf_counter(); engine.pull(sys.argv[2]); print(time.perf_counter() - began)"
    )
    return float(_ours(program, str(home), reference))


def _docker(daemons: contextlib.ExitStack, folder: Path, reference: str) -> Contestant:
    """The daemon is up before the clock starts, and the image is removed after it has stopped."""
    try:
        command = daemons.enter_context(rivals.docker(folder, None))
    except Absent as why:
        return _absent(str(why))

    def run() -> float:
        began = time.perf_counter()
        rivals.quietly([*command, "pull", "--quiet", reference])
        needed = time.perf_counter() - began
        rivals.quietly([*command, "image", "rm", "--force", reference])
        return needed

    return run


def _absent(why: str) -> Contestant:
    def run() -> float:
        raise Absent(why)

    return run


def _podman(store: Path, reference: str) -> float:
    with rivals.podman(store, None) as command:
        began = time.perf_counter()
        rivals.quietly([*command, "pull", "--quiet", "--tls-verify=false", reference])
        return time.perf_counter() - began


def _umoci(store: Path, reference: str) -> float:
    unpack = [rivals.program("umoci"), "unpack", *(["--rootless"] if os.geteuid() else [])]
    began = time.perf_counter()
    _skopeo(store, reference)
    rivals.quietly([*unpack, "--image", f"{store}/layout:latest", f"{store}/bundle"])
    return time.perf_counter() - began


def _skopeo(store: Path, reference: str) -> float:
    program = rivals.program("skopeo")
    store.mkdir()
    began = time.perf_counter()
    rivals.quietly([program, "copy", "--quiet", "--src-tls-verify=false", f"docker://{reference}", f"oci:{store}/layout:latest"])
    return time.perf_counter() - began


_PEAK = """
import os, sys
from pathlib import Path
from pyck_magic import Engine
peaks = {}
def look(event=None):
    tasks = Path("/proc/self/task").iterdir()
    for pid in [os.getpid(), *(child for task in tasks for child in (task / "children").read_text().split())]:
        said = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        if "RssAnon" in said:
            peaks[pid] = max(peaks.get(pid, 0), int(said["RssAnon"].split()[0]))
engine = Engine(sys.argv[1])
engine.pull(sys.argv[2], watch=look)
print(sum(peaks.values()) << 10)
"""


def _memory(fresh: Iterator[Path], reference: str) -> Table:
    """The sum of what each of our pulling processes had at most, anonymous pages, sampled at every event."""
    table = Table("Peak memory of the pulling processes together", ours="pyck", unit="MB", factor=1e-6)
    race(table, {"pyck": lambda: float(_ours(_PEAK, str(next(fresh)), reference))}, rounds=3, warm_up=0)
    return table


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pyck-benchmark-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ours(program: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        check=True,
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    ).stdout
