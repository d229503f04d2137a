"""What the tests' images are made of. A change here makes every image anew.

Runs in:    the process that builds the images, standard library only.
"""

import platform
from dataclasses import dataclass, field

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OTHER_MACHINE = "arm64" if MACHINE == "amd64" else "amd64"
SUITE = "bookworm"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

BLAST_PACKAGES = ("ncbi-blast+",)
TOOL_PACKAGES = ("curl", "git", "procps", "gawk", "hmmer", "samtools", "mafft")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One image: its layers by name (see `layers.py`), and what its config says."""

    name: str
    layers: tuple[str, ...]
    config: dict[str, object] = field(default_factory=dict)
    architecture: str = MACHINE


SHELL: dict[str, object] = {"Env": [PATH], "Cmd": ["sh"]}
BLAST: dict[str, object] = {
    "Env": [PATH, "BLAST_USAGE_REPORT=false", "LC_ALL=C.UTF-8"],
    "Cmd": ["/bin/bash"],
    "User": "biodocker",
    "WorkingDir": "/data",
    "Volumes": {"/data": {}},
    "Labels": {"org.opencontainers.image.title": "blast", "software.version": "2.12.0"},
}

RECIPES = (
    Recipe(name="tiny", layers=("busybox", "accounts"), config=SHELL),
    Recipe(name="foreign", layers=("accounts",), config=SHELL, architecture=OTHER_MACHINE),
    Recipe(name="noshell", layers=("one-program",), config={"Cmd": ["/cat", "/greeting"]}),
    Recipe(name="entry", layers=("busybox", "accounts"), config=SHELL | {"Entrypoint": ["echo", "entry:"], "Cmd": ["default"]}),
    Recipe(name="named-user", layers=("busybox", "accounts"), config=SHELL | {"User": "guest", "WorkingDir": "/home/guest"}),
    Recipe(name="many", layers=("busybox", "accounts", *(f"step-{n}" for n in range(60))), config=SHELL),
    Recipe(name="debian", layers=("debian",), config={"Env": [PATH], "Cmd": ["bash"]}),
    Recipe(name="blast", layers=("debian", "tools", "blast", "biodocker"), config=BLAST),
)
DEBIAN_LAYERS = ("debian", "tools", "blast", "biodocker")
