"""Whiteouts, judged by what overlayfs shows when the layers are mounted."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pyck_magic.model.errors import BadArchive
from tests.kernel.unpack_archives import END, REAL_OWNERS, directory, file, hardlink, symlink, unpack

LOWER = (
    directory(b"d") + file(b"d/old", b"old") + directory(b"d/sub") + file(b"d/sub/deep", b"old") + file(b"f", b"old")
    + directory(b"e") + file(b"e/old", b"old") + END
)  # fmt: skip

# Prints the merged tree of the layers in argv, top first, from inside namespaces of its own.
_MOUNT_AND_LIST = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pyck_magic.linux import libc
data = "lowerdir=" + ":".join(sys.argv[2:])
if os.geteuid() != 0:
    uid, gid = os.geteuid(), os.getegid()
    libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        open(f"/proc/self/{name}", "w").write(text)
    data += ",userxattr"
else:
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
libc.mount("overlay", "/mnt", "overlay", libc.MS_RDONLY, data)
for folder, folders, files in os.walk("/mnt"):
    for name in folders + files:
        print(os.path.relpath(os.path.join(folder, name), "/mnt"))
"""


def _merged(*layers: Path) -> set[str]:
    """What a container sees of these layers, base first."""
    here = str(Path(__file__).parents[2])
    top_first = [str(layer) for layer in reversed(layers)]
    run = subprocess.run(
        [sys.executable, "-I", "-c", _MOUNT_AND_LIST, here, *top_first], capture_output=True, text=True, check=False
    )
    if "PermissionError" in run.stderr:
        pytest.skip("overlayfs cannot be mounted here")
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


def _layers(tmp_path: Path, upper: bytes) -> tuple[Path, Path]:
    (tmp_path / "lower").mkdir()
    (tmp_path / "upper").mkdir()
    return unpack(tmp_path / "lower", LOWER), unpack(tmp_path / "upper", upper + END)


EVERYTHING = {"d", "d/old", "d/sub", "d/sub/deep", "f", "e", "e/old"}
CASES = {
    "nothing": (b"", EVERYTHING),
    "file": (file(b".wh.f"), EVERYTHING - {"f"}),
    "directory": (file(b".wh.d"), {"f", "e", "e/old"}),
    "below a directory": (file(b"d/.wh.old"), EVERYTHING - {"d/old"}),
    "of what is not there": (file(b".wh.nothing") + file(b"e/.wh.nothing"), EVERYTHING),
    "twice": (file(b".wh.f") + file(b".wh.f"), EVERYTHING - {"f"}),
    "opaque": (directory(b"d") + file(b"d/.wh..wh..opq") + file(b"d/new"), {"d", "d/new", "f", "e", "e/old"}),
    "opaque comes last": (directory(b"d") + file(b"d/new") + file(b"d/.wh..wh..opq"), {"d", "d/new", "f", "e", "e/old"}),
    "opaque, directory not mentioned": (file(b"d/.wh..wh..opq"), {"d", "f", "e", "e/old"}),
    "opaque one level down": (file(b"d/sub/.wh..wh..opq"), EVERYTHING - {"d/sub/deep"}),
    "file of the same layer stays": (file(b"f", b"new") + file(b".wh.f"), EVERYTHING),
    "file of the same layer stays, other order": (file(b".wh.f") + file(b"f", b"new"), EVERYTHING),
    "directory of the same layer hides the lower one": (
        file(b".wh.d") + directory(b"d") + file(b"d/new"),
        {"d", "d/new", "f", "e", "e/old"},
    ),
    "the same, other order": (directory(b"d") + file(b"d/new") + file(b".wh.d"), {"d", "d/new", "f", "e", "e/old"}),
    "the same, directory not mentioned": (file(b".wh.d") + file(b"d/new"), {"d", "d/new", "f", "e", "e/old"}),
    "link in a directory's place": (file(b".wh.d") + symlink(b"d", b"e"), {"d", "f", "e", "e/old"}),
    "aufs metadata": (directory(b".wh..wh.plnk") + file(b".wh..wh.aufs"), EVERYTHING),
}


@pytest.mark.parametrize("name", CASES)
def test_whiteout(name: str, tmp_path: Path) -> None:
    """Whiteouts hide what lower layers have, and only that (image-spec, layer.md)."""
    upper, expected = CASES[name]
    assert _merged(*_layers(tmp_path, upper)) == expected


def test_whiteout_is_a_device_and_its_name_is_gone(tmp_path: Path) -> None:
    """A whiteout is a 0:0 device under the hidden name; opaque directories say so in both spellings where root may."""
    _lower, upper = _layers(tmp_path, file(b".wh.f") + file(b"d/.wh..wh..opq"))
    status = (upper / "f").lstat()

    assert (stat.S_ISCHR(status.st_mode), status.st_rdev) == (True, 0)
    assert sorted(os.listdir(upper)) == ["d", "f"]
    assert os.getxattr(upper / "d", "user.overlay.opaque") == b"y"
    if REAL_OWNERS:
        assert os.getxattr(upper / "d", "trusted.overlay.opaque") == b"y"


@pytest.mark.parametrize("name", [b".wh.", b"d/.wh.", b".wh..", b".wh...", b".wh.f/g", b"d/.wh.x/.wh..wh..opq"])
def test_whiteouts_of_nothing(name: bytes, tmp_path: Path) -> None:
    """A whiteout without a name, of `.`, of `..`, or used as a directory is refused."""
    with pytest.raises(BadArchive):
        unpack(tmp_path, file(name) + END)


def test_hard_link_to_a_whiteout(tmp_path: Path) -> None:
    """A whiteout of ours cannot be linked to other names."""
    with pytest.raises(BadArchive):
        unpack(tmp_path, file(b".wh.f") + hardlink(b"g", b"f") + END)


def test_many_whiteouts(tmp_path: Path) -> None:
    """Tens of thousands of whiteouts, and one opaque mark as often, are no more than as many files."""
    tree = unpack(
        tmp_path, b"".join(file(b".wh.%d" % number) for number in range(20_000)) + file(b"d/.wh..wh..opq") * 20_000 + END
    )

    assert len(os.listdir(tree)) == 20_001
