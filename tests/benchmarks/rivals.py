"""The other contestants, each set up in a folder of its own with the same BLAST image, and how each starts a program.

Runs in:    the benchmark's process. Each constructor raises Absent where the tool is missing or cannot work.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.benchmarks.harness import Absent, Contestant
from tests.images.build import Images

# Its defaults ask for more than a root without CAP_SYS_RESOURCE may give.
PODMAN_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
WIDE_PATH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"


def program(*names: str) -> str:
    """The first of these programs that is installed."""
    for name in names:
        if found := shutil.which(name, path=WIDE_PATH):
            return found
    raise Absent(f"{names[-1]} is not installed")


def quietly(command: Sequence[str], *, env: dict[str, str] | None = None) -> str:
    """Run a command to its end and return what it printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(f"{command[0]} {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


@contextmanager
def docker(folder: Path, images: Images | None) -> Iterator[list[str]]:
    """A daemon of our own; yields the start of a `docker` command line. The image is `blast` when `images` is given."""
    if os.geteuid():
        raise Absent("its daemon needs root")
    daemon, client, socket = program("dockerd"), program("/usr/bin/docker", "docker"), folder / "docker.sock"
    command = [daemon, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"]
    command += ["--host", f"unix://{socket}", "--storage-driver", "overlay2"]
    command += ["--iptables=false", "--ip6tables=false", "--bridge=none", "--insecure-registry", "127.0.0.0/8"]
    folder.mkdir(parents=True)
    env = os.environ | {"PATH": WIDE_PATH}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
    try:
        deadline = time.monotonic() + 30
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Absent(f"dockerd does not start: {(folder / 'log').read_text().strip().splitlines()[-1][:150]}")
            time.sleep(0.1)
        if images:
            target = ["--dest-daemon-host", f"unix://{socket}", f"oci:{images.layout}:blast", "docker-daemon:blast:latest"]
            quietly(["skopeo", "copy", "--quiet", "--insecure-policy", *target])
        yield [client, "--host", f"unix://{socket}"]
    finally:
        process.terminate()
        process.wait()
        release(folder)


@contextmanager
def podman(folder: Path, images: Images | None) -> Iterator[list[str]]:
    """Yields the start of a `podman` command line; the image is `blast` when `images` is given."""
    folder.mkdir(parents=True)
    runroot = Path(f"/tmp/pyck-podman-{os.getpid()}")  # its sockets need a short path
    command = [program("podman"), "--root", f"{folder}/root", "--runroot", str(runroot), "--cgroup-manager", "cgroupfs"]
    command += ["--storage-driver", "overlay"]  # else an ordinary user may get vfs, which copies the image for each run
    try:
        if images:
            image = quietly([*command, "pull", "--quiet", f"oci:{images.layout}:blast"]).split()[-1]
            quietly([*command, "tag", image, "localhost/blast:latest"])
        yield command
    finally:
        subprocess.run([*command, "system", "reset", "--force"], capture_output=True, stdin=subprocess.DEVNULL)
        release(folder)
        release(runroot)


def bundle(folder: Path, images: Images) -> Path:
    """The image unpacked by umoci, with a config that runs `true` without a network, terminal or user namespace."""
    rootless = ["--rootless"] if os.geteuid() else []
    quietly([program("umoci"), "unpack", *rootless, "--image", f"{images.layout}:blast", str(folder)])
    config = json.loads((folder / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["true"]}
    if os.geteuid():
        config["process"]["user"] = {"uid": 0, "gid": 0}  # the one id there is
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def crun(folder: Path, state: Path) -> Contestant:
    """`crun run` on the bundle; without a cgroup where we may make none."""
    command, numbers = [program("crun"), "--root", str(state)], count()
    command += ["--cgroup-manager=disabled"] if os.geteuid() else []
    return lambda: void(quietly([*command, "run", "--bundle", str(folder), f"pyck-{os.getpid()}-{next(numbers)}"]))


def bwrap(folder: Path) -> Contestant:
    """`bwrap` on the bundle's root, all namespaces unshared. No overlay: what is written stays."""
    command = [program("bwrap"), "--unshare-all", "--die-with-parent", "--bind", f"{folder}/rootfs", "/"]
    command += ["--proc", "/proc", "--dev", "/dev", "true"]
    return lambda: void(quietly(command))


def floor(folder: Path, scratch: Path) -> Contestant:
    """The C program of `floor.c`, timed from inside."""
    made, numbers = scratch / "floor", count()
    quietly([program("gcc"), "-O2", "-o", str(made), str(Path(__file__).with_name("floor.c"))])

    def run() -> float:
        return int(quietly([str(made), f"{folder}/rootfs", f"{scratch}/floor-{next(numbers)}", "true"])) / 1e9

    return run


def release(folder: Path) -> None:
    """Unmount what a tool left below `folder` and remove it."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], capture_output=True)
    if os.geteuid() and shutil.which("podman"):  # files of subordinate ids
        subprocess.run(["podman", "unshare", "rm", "-rf", str(folder)], capture_output=True, stdin=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)


def void(_result: object) -> None:
    """What a contestant returns when its wall time counts."""
