"""Containers straight from a LaunchSpec, without registry, store or engine: for tests of what a container can reach."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pyck_magic.model.spec import LaunchSpec, Mould
from pyck_magic.runtime.seccomp_profile import DEFAULT_CAPABILITIES

MODES = ("root", "userns") if os.geteuid() == 0 else ("userns",)

_APPLETS = (
    "sh cat chmod chroot dd echo env grep head hostname id kill ln ls mkdir mknod mount mv readlink rm sleep umount unshare wc"
)

# A launcher must be single-threaded, so each container has a process of its own as its parent.
_PARENT = """
import json, os, sys
from pyck_magic.linux import landlock
from pyck_magic.model.spec import LaunchSpec
from pyck_magic.runtime import messages
from pyck_magic.runtime.client import OwnLauncher

spec = LaunchSpec.from_json(sys.argv[1].encode())
if sys.argv[2] == "without landlock":
    landlock.execute_only_below = lambda root: False
leak = os.open("/etc/hostname", os.O_RDONLY)
os.set_inheritable(leak, True)
os.environ["SECRET"] = "of the notebook"
sandbox = OwnLauncher().take(spec.mould)
os.rename(f"{spec.mould.sandboxes}/{sandbox.id}", spec.state)
conversation = sandbox.launch(spec, (0, 1, 2))
said = []
while (heard := messages.receive(conversation)) is not None:
    said.append(heard[0])
print(json.dumps(said), file=sys.stderr)
"""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container went: what it wrote, and what its monitor said of it."""

    out: str
    err: str
    exit_code: int | None
    failure: dict[str, Any] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, str]:
        """The `name: value` lines it wrote."""
        return dict(line.split(":", 1) for line in self.out.splitlines() if ":" in line)


def make_image(folder: Path) -> Path:
    """A root file system with busybox under the usual names, and nothing else."""
    binaries = folder / "bin"
    binaries.mkdir(parents=True)
    (binaries / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (binaries / "busybox").chmod(0o755)
    for name in _APPLETS.split():
        (binaries / name).symlink_to("busybox")
    (folder / "etc").mkdir()
    return folder


def run(
    room: Path, *argv: str, mode: str, image: Path | None = None, uid: int = 0, gid: int = 0,
    network: Literal["none", "host"] = "none", landlock: bool = True, **fields: Any,
) -> Ending:  # fmt: skip
    """Run `argv` (a lone string is given to sh) in a container of `image`, as root or in a user namespace of one id."""
    image = image or make_image(room / "image")
    sandboxes, staging = room / "sandboxes", room / "staging"
    for folder in (sandboxes, staging):
        folder.mkdir(parents=True)
    maps: dict[str, Any] = {}
    if mode == "userns":
        maps = {"uid_map": ((uid, os.getuid(), 1),), "gid_map": ((gid, os.getgid(), 1),)}
    mould = Mould(
        mode="root" if mode == "root" else "userns", network=network, sandboxes=str(sandboxes), staging=str(staging),
        layers=(str(image),), etc=tuple(name for name, _content in fields.get("etc", ())),
        owner=next(((uid, gid) for bind in fields.get("binds", ()) if bind.own), None),
        capabilities=tuple(sorted(DEFAULT_CAPABILITIES)), **maps,
    )  # fmt: skip
    choice = ("/bin/sh", "-c", argv[0]) if len(argv) == 1 else argv
    defaults: dict[str, Any] = {
        "workdir": "/", "env": ("PATH=/bin",), "emulate_root": mode == "userns" and uid == 0,
    }  # fmt: skip
    spec = LaunchSpec(
        id="1", mould=mould, state=str(sandboxes / "1"), hostname="box", argv_choices=(choice,),
        uid=uid, gid=gid, **{**defaults, **fields},
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _PARENT, spec.to_json().decode(), "" if landlock else "without landlock"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *err, last = done.stderr.splitlines()
    said = json.loads(last)
    failure = next((one for one in said if one["word"] == "failed"), {})
    exit_code = next((one["exit_code"] for one in said if one["word"] == "exited"), None)
    assert not any(sandboxes.iterdir()), "the container's folder is removed"
    return Ending(done.stdout, "\n".join(err), exit_code, failure)
