"""Make the layers of the tests' images: tar files of real trees.

Runs in:    the process that builds the images, as root (mmdebstrap and chroot), standard library only.

A later layer of the Debian tree is found as a build tool finds it: the tree is listed before and after a step, and the
layer holds what differs, with a whiteout (`.wh.NAME`, OCI image spec, "Representing Changes") for what has gone.
"""

import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.images import recipe

Listing = dict[str, tuple[int, int, int, int, int, str]]
# Names a package manager leaves behind which belong to no image, and what a container is given fresh anyway.
LEFT_OUT = ("var/cache/apt/archives", "var/lib/apt/lists", "var/log/apt", "proc", "sys", "dev", "run", "tmp")
STARTED = 1_700_000_000  # the date of the files we write ourselves, so that a rebuild gives the same bytes


class CannotBuild(Exception):
    """This machine lacks something the images are made with; the text says what."""


def small_layers() -> Iterator[tuple[str, bytes]]:
    """The layers that need no Debian tree, by name."""
    box = Path(shutil.which("busybox") or "/bin/busybox")
    if not box.exists():
        raise CannotBuild("busybox is missing: apt-get install busybox-static")
    applets = subprocess.run([str(box), "--list"], capture_output=True, text=True, check=True).stdout.split()
    folders = [("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777), ("home", 0o755), ("proc", 0o555)]
    folders += [("sys", 0o555), ("dev", 0o755), ("usr", 0o755), ("var", 0o755)]
    yield "busybox", pack(
        [entry(name, mode=mode, kind=tarfile.DIRTYPE) for name, mode in folders]
        + [entry("bin/busybox", box.read_bytes(), mode=0o755)]
        + [entry(f"bin/{name}", link="busybox") for name in applets if name != "busybox"]
    )
    yield "accounts", pack([
        entry("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nguest:x:1000:1000:a guest:/home/guest:/bin/sh\n"),
        entry("etc/group", b"root:x:0:\ndisk:x:6:guest\nguest:x:1000:\n"),
        entry("home/guest", mode=0o755, kind=tarfile.DIRTYPE, owner=1000),
        entry("home/guest/mine", b"of guest\n", owner=1000),
    ])
    yield "one-program", pack([entry("cat", box.read_bytes(), mode=0o755), entry("greeting", b"no shell in here\n")])
    for number in range(60):
        yield f"step-{number}", pack([entry("step", b"%d\n" % number), entry(f"steps/{number}", b"here\n")])


def debian_layers(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Debian's tree in `folder`, then what each step changes in it."""
    if os.geteuid():
        raise CannotBuild("making the Debian and BLAST images takes root, once: sudo python3 -m tests.images.build")
    if not shutil.which("mmdebstrap"):
        raise CannotBuild("mmdebstrap is missing: apt-get install mmdebstrap")
    tree = folder / "tree"
    say(["mmdebstrap", "--quiet", "--variant=minbase", recipe.SUITE, str(tree), *apt_sources()])
    before: Listing = {}
    for name, step in (("debian", None), ("tools", tools), ("blast", blast), ("biodocker", biodocker)):
        if step:
            step(tree)
        after = listing(tree)
        yield name, difference(tree, before, after)
        before = after


def tools(tree: Path) -> None:
    """The programs a bioinformatician's image usually has."""
    install(tree, recipe.TOOL_PACKAGES)


def blast(tree: Path) -> None:
    """BLAST itself, with the Perl and Python it asks for."""
    install(tree, recipe.BLAST_PACKAGES)


def biodocker(tree: Path) -> None:
    """The user and folder of biocontainers/blast; the manuals go, which a later layer can only hide."""
    say(["chroot", str(tree), "useradd", "--create-home", "--uid", "1000", "--shell", "/bin/bash", "biodocker"])
    for folder in ("data", "config"):
        (tree / folder).mkdir()
        os.chown(tree / folder, 1000, 1000)
    shutil.rmtree(tree / "usr/share/man")
    for language in (tree / "usr/share/locale").iterdir():
        if language.is_dir():
            shutil.rmtree(language)


def apt_sources() -> list[str]:
    """The files that tell this machine's apt where Debian is: the tree is made from the same place."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    found = [str(p) for p in places if p.suffix in {".list", ".sources"} and p.is_file() and "debian" in p.read_text().lower()]
    return found or ["http://deb.debian.org/debian"]


def install(tree: Path, packages: Iterable[str]) -> None:
    """Let this machine's apt, with its own settings and network, put `packages` into `tree`."""
    apt = ["apt-get", "-qq", "-y", "-o", f"Dir={tree}", "-o", f"DPkg::Chroot-Directory={tree}"]
    apt += ["-o", "Dir::Etc::Parts=/etc/apt/apt.conf.d", "-o", "APT::Install-Recommends=0", "-o", "APT::Sandbox::User=root"]
    say([*apt, "update"])
    say([*apt, "install", *packages])


def say(command: list[str]) -> None:
    """Run `command`; its output is shown only when it fails."""
    calm = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=calm, text=True)
    if done.returncode:
        raise CannotBuild(f"{command[0]} failed ({done.returncode}):\n{(done.stdout + done.stderr)[-3000:]}")


def listing(tree: Path) -> Listing:
    """Everything below `tree` with what would make it different: kind and mode, owner, size, date and link target."""
    found: Listing = {}
    for folder, names, files in os.walk(tree):
        inside = os.path.relpath(folder, tree)
        for name in [*names, *files]:
            path = os.path.normpath(os.path.join(inside, name))
            seen = os.lstat(os.path.join(folder, name))
            link = os.readlink(os.path.join(folder, name)) if stat.S_ISLNK(seen.st_mode) else ""
            # A folder's date and size change with what is in it; that alone makes no entry.
            when, size = (0, 0) if stat.S_ISDIR(seen.st_mode) else (seen.st_mtime_ns, seen.st_size)
            found[path] = (seen.st_mode, seen.st_uid, seen.st_gid, size, when, link)
        names[:] = [n for n in names if os.path.normpath(os.path.join(inside, n)) not in LEFT_OUT]
    return found


def difference(tree: Path, before: Listing, after: Listing) -> bytes:
    """The tar that turns a tree listed as `before` into the one listed as `after`."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(after):
            if before.get(path) != after[path] and not stat.S_ISSOCK(after[path][0]):
                tar.add(tree / path, arcname=path, recursive=False, filter=by_number)
        for path in sorted(before.keys() - after.keys()):
            parent, name = os.path.split(path)
            if parent in after or not parent:  # one whiteout hides a whole folder
                tar.addfile(entry(os.path.join(parent, f".wh.{name}"))[0], io.BytesIO())
    return made.getvalue()


def by_number(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owners by number only: names mean nothing outside the tree."""
    member.uname = member.gname = ""
    return member


def entry(
    name: str, content: bytes = b"", *, mode: int = 0o644, kind: bytes = tarfile.REGTYPE, link: str = "", owner: int = 0
) -> tuple[tarfile.TarInfo, bytes]:
    """One thing in a layer of ours."""
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.linkname = (tarfile.SYMTYPE, 0o777, link) if link else (kind, mode, "")
    made.uid = made.gid = owner
    made.size, made.mtime = len(content), STARTED
    return made, content


def pack(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """The entries as a tar."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for member, content in entries:
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()
