"""Archives that try to write outside of their layer. Each one succeeds in the control."""

import os
from pathlib import Path

import pytest

from pyck_magic.model.errors import BadArchive
from tests.kernel.unpack_archives import END, directory, file, fingerprint, hardlink, symlink, unpack, unpack_naively

UP = b"../" * 40


def _outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "canary").write_text("alive")
    return outside


def _absolute(path: Path) -> bytes:
    return os.fsencode(path)


ESCAPES = {
    "dotdot": lambda out: file(b"../outside/canary", b"dead"),
    "dotdot in the middle": lambda out: directory(b"a") + file(b"a/../../outside/canary", b"dead"),
    "symlink, then through it": lambda out: symlink(b"link", _absolute(out)) + file(b"link/canary", b"dead"),
    "relative symlink, then through it": lambda out: symlink(b"link", b"../outside") + file(b"link/canary", b"dead"),
    "two symlinks": lambda out: symlink(b"a", b"..") + symlink(b"b", b"a/outside") + file(b"b/canary", b"dead"),
    "hard link, then write": lambda out: hardlink(b"h", b"../outside/canary") + file(b"h", b"dead"),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_escape(name: str, tmp_path: Path) -> None:
    """Names and links cannot lead out of the layer, and the archive that tries is refused."""
    outside = _outside(tmp_path)
    before = fingerprint(outside)
    archive = ESCAPES[name](outside) + END

    with pytest.raises(BadArchive):
        unpack(tmp_path, archive)
    assert fingerprint(outside) == before

    unpack_naively(tmp_path, archive)
    assert fingerprint(outside) != before, "the control did not get out: this archive proves nothing"


def test_absolute_name_stays_inside(tmp_path: Path) -> None:
    """An absolute name is taken from the layer's root, as Docker does."""
    outside = _outside(tmp_path)
    tree = unpack(tmp_path, file(_absolute(outside / "canary"), b"dead") + END)

    assert (outside / "canary").read_text() == "alive"
    assert (tree / str(outside / "canary")[1:]).read_bytes() == b"dead"


def test_directory_over_symlink_leaves_its_target_alone(tmp_path: Path) -> None:
    """A directory that takes a link's place does not change the mode of what the link led to."""
    outside = _outside(tmp_path)
    tree = unpack(tmp_path, symlink(b"d", _absolute(outside)) + directory(b"d", 0o777) + file(b"d/canary", b"dead") + END)

    assert outside.stat().st_mode & 0o777 == 0o700
    assert (outside / "canary").read_text() == "alive"
    assert (tree / "d/canary").read_bytes() == b"dead"


def test_file_over_symlink_replaces_the_link(tmp_path: Path) -> None:
    """A file under a link's name, or under a hard link to that link, is not written through it."""
    outside = _outside(tmp_path)
    target = _absolute(outside / "canary")
    tree = unpack(tmp_path, symlink(b"s", target) + hardlink(b"h", b"s") + file(b"s", b"1") + file(b"h", b"2") + END)

    assert (outside / "canary").read_text() == "alive"
    assert ((tree / "s").read_bytes(), (tree / "h").read_bytes()) == (b"1", b"2")


@pytest.mark.parametrize("name", [b".", b"./", b"././/.", b"/", b"a/.."])
def test_root_cannot_be_replaced(name: bytes, tmp_path: Path) -> None:
    """The layer's own directory cannot become a symbolic link."""
    with pytest.raises(BadArchive):
        unpack(tmp_path, directory(b"a") + symlink(name, b"/") + file(b"canary", b"") + END)


@pytest.mark.parametrize("target", [b"/", b"/etc/passwd", UP + b"etc/passwd", b"missing", b"..", b""])
def test_hard_link_to_anything_but_a_file_of_this_layer(target: bytes, tmp_path: Path) -> None:
    """A hard link leads to a file that this layer has brought before, or the layer is refused."""
    with pytest.raises(BadArchive):
        unpack(tmp_path, hardlink(b"h", target) + END)


def test_link_inside_the_layer_is_followed(tmp_path: Path) -> None:
    """A parent that is a link to a directory of this layer works as it does in a container, also an absolute one."""
    tree = unpack(
        tmp_path,
        directory(b"usr/lib")
        + symlink(b"lib", b"/usr/lib")
        + file(b"lib/a/b", b"1")
        + symlink(b"usr/up", UP)
        + file(b"usr/up/c", b"2")
        + END,
    )

    assert (tree / "usr/lib/a/b").read_bytes() == b"1"
    assert (tree / "c").read_bytes() == b"2"
    assert os.readlink(tree / "lib") == "/usr/lib"


def test_directory_swapped_for_a_symlink(tmp_path: Path) -> None:
    """A link that takes the place of a directory we hold open is not walked around."""
    outside = _outside(tmp_path)
    with pytest.raises(BadArchive):
        unpack(tmp_path, directory(b"a") + file(b"a/x") + symlink(b"a", _absolute(outside)) + file(b"a/canary", b"dead") + END)
    assert (outside / "canary").read_text() == "alive"


def test_replaced_link_is_not_remembered(tmp_path: Path) -> None:
    """After a link was changed, names below it go where it leads now."""
    archive = directory(b"x") + directory(b"y") + symlink(b"l", b"x") + file(b"l/1") + symlink(b"l", b"y") + file(b"l/2") + END
    tree = unpack(tmp_path, archive)

    assert sorted(os.listdir(tree / "x")) == ["1"]
    assert sorted(os.listdir(tree / "y")) == ["2"]
