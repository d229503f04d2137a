"""Make the images the tests pull: real programs from Debian's packages, as an OCI layout and in a real registry's files.

    python3 -m tests.images.build        prints the folder they are in

Made once and kept outside the tree, in a folder named by the recipe's hash: `$PYCK_TEST_CACHE`, else
`/var/cache/pyck-test-images` when root makes them (an ordinary user finds them there), else `~/.cache/pyck-test-images`.
Pushing is skopeo's work: pyck is not tested against itself.

Runs in:    a process of its own, standard library only.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

if __package__ in {None, ""}:  # called by path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.images import layers, recipe
from tests.images.layers import CannotBuild
from tests.images.layout import LAYER_PLAIN, LAYER_ZSTD, Layout
from tests.images.registry import Registry

SHARED = Path("/var/cache/pyck-test-images")


@dataclass(frozen=True)
class Images:
    """Where the images are: `layout` for tools that read OCI layouts, `registry_root` for `Registry(...)`."""

    folder: Path

    @property
    def layout(self) -> Path:
        return self.folder / "layout"

    @property
    def registry_root(self) -> Path:
        return self.folder / "registry"


def key() -> str:
    """The recipe's hash: another recipe, another folder."""
    files = [Path(__file__).with_name(f"{part}.py") for part in ("recipe", "layers", "layout", "build")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def cache() -> Path:
    """The folder the images of all recipes are kept in."""
    if chosen := os.environ.get("PYCK_TEST_CACHE"):
        return Path(chosen)
    if os.geteuid() == 0 or (SHARED / key() / "done").exists():
        return SHARED
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyck-test-images"


def ready() -> Images:
    """The images, made now if they are not there yet. A second caller waits for the first. Raises CannotBuild."""
    folder = cache() / key()
    if not (folder / "done").exists():
        for program in ("skopeo", "docker-registry", "zstd"):
            if not shutil.which(program):
                raise CannotBuild(f"{program} is missing: apt-get install {program}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f"{folder.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "done").exists():
                shutil.rmtree(folder, ignore_errors=True)
                build(folder)
    return Images(folder)


def build(folder: Path) -> None:
    """Make every image in `folder`."""
    os.umask(0o022)
    note(f"making the test images in {folder} (about two minutes, once)")
    layout = Layout(folder / "layout")
    for name, tar in layers.small_layers():
        layout.add_layer(name, tar)
        if name in {"busybox", "accounts"}:
            layout.add_layer(f"{name}-plain", tar, LAYER_PLAIN)
            layout.add_layer(f"{name}-zstd", tar, LAYER_ZSTD)
    for name, tar in layers.debian_layers(folder):
        note(f"  layer {name}: {len(tar) / 1e6:.0f} MB")
        layout.add_layer(name, tar)
        if name == "debian":
            layout.add_layer("debian-zstd", tar, LAYER_ZSTD)
    shutil.rmtree(folder / "tree")
    by_name = {one.name: one for one in recipe.RECIPES}
    for one in recipe.RECIPES:
        layout.add_image(one)
    tiny = by_name["tiny"]
    layout.add_image(replace(tiny, layers=("busybox-plain", "accounts-plain")), name="plain")
    layout.add_image(replace(tiny, layers=("busybox-zstd", "accounts-zstd")), name="zstd")
    layout.add_image(replace(by_name["debian"], layers=("debian-zstd",)), name="debian-zstd")
    layout.add_index("multi", [by_name["foreign"], tiny])
    layout.finish()
    push(Images(folder))
    (folder / "done").touch()


def push(images: Images) -> None:
    """Let skopeo put the layout's images into a registry's files, some of them in other formats."""
    everything = [*(one.name for one in recipe.RECIPES), "plain", "zstd", "debian-zstd"]
    with Registry(images.registry_root) as registry:
        for name in everything:
            skopeo(images, registry, name, name, "--preserve-digests")
        skopeo(images, registry, "multi", "multi", "--all")
        skopeo(images, registry, "tiny", "tiny", tag="1.36")
        skopeo(images, registry, "tiny", "schema2", "--format", "v2s2")
        skopeo(images, registry, "blast", "ncbi/blast", tag="2.12.0")


def skopeo(images: Images, registry: Registry, source: str, target: str, *options: str, tag: str = "latest") -> None:
    """Copy one image of the layout to the registry."""
    command = ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", *options]
    command += [f"oci:{images.layout}:{source}", f"docker://{registry.address}/{target}:{tag}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CannotBuild(f"skopeo copy of {source} to {target} failed: {done.stderr.strip()}")


def note(text: str) -> None:
    """Say how it goes."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        print(ready().folder)
    except CannotBuild as missing:
        sys.exit(f"cannot make the test images: {missing}")
