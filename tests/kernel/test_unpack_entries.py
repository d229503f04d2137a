"""What entries become: names, owners, modes, times, sizes, sparse files; and archives that lie about them."""

import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from pyck_magic.model.errors import BadArchive, WrongDigest
from tests.kernel.unpack_archives import (
    END,
    GZIP,
    REAL_OWNERS,
    directory,
    everything_below,
    file,
    gzipped,
    hardlink,
    header,
    octal,
    padded,
    pax,
    symlink,
    unpack,
)

only_root = pytest.mark.skipif(not REAL_OWNERS, reason="needs root: owners and devices are real only there")
only_user = pytest.mark.skipif(REAL_OWNERS, reason="is about ordinary users")


def test_tree_equals_gnu_tars(tmp_path: Path) -> None:
    """A real tree, packed by GNU tar in its own format, unpacks to what GNU tar unpacks: modes, times, links, holes."""
    source = tmp_path / "source"
    (source / "deep" / ("d" * 90) / ("e" * 200)).mkdir(parents=True)
    (source / "deep" / ("d" * 90) / ("e" * 200) / ("f" * 250)).write_text("far down")
    (source / "link").symlink_to("x" * 300)
    (source / "program").write_bytes(os.urandom(300_000))
    (source / "program").chmod(0o4755)
    os.link(source / "program", source / "other")
    os.mkfifo(source / "fifo", 0o640)
    with open(source / "holes", "wb") as holes:
        for at in (0, 1 << 20, 5 << 20):
            holes.seek(at)
            holes.write(os.urandom(5000))
        holes.truncate(9 << 20)
    os.utime(source / "deep", ns=(123456789, 1234567890123456789))
    for flags in (
        ["--format=gnu"],
        ["--format=pax"],
        ["--format=gnu", "-S"],
        *(["--format=pax", "-S", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0")),
    ):
        folder = tmp_path / "".join(flags)
        (folder / "expected").mkdir(parents=True)
        archive = folder / "archive.tar"
        subprocess.run(["tar", *flags, "-C", source, "-cf", archive, "."], check=True)
        subprocess.run(["tar", "-C", folder / "expected", "-xpf", archive], check=True)
        tree = unpack(folder, archive.read_bytes())

        assert _listing(tree) == _listing(folder / "expected"), flags


def _listing(tree: Path) -> dict[str, tuple[object, ...]]:
    found = {}
    for path in everything_below(tree):
        status = path.lstat()
        content: object = os.readlink(path) if path.is_symlink() else None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        found[str(path.relative_to(tree))] = (
            stat.filemode(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, status.st_nlink, content,
        )  # fmt: skip
    return found


@only_root
def test_owners_are_numbers_and_survive(tmp_path: Path) -> None:
    """Owners beyond 16 bits, setuid and setgid arrive as they are, whatever the directory's group is."""
    archive = (
        directory(b"mail", 0o2775, gid=8)
        + file(b"mail/box", b"x", mode=0o660, uid=0, gid=0)
        + file(b"su", b"x", mode=0o6755, uid=b"\x80\0\0\0\xff\xff\xff\xfe", gid=65537)
        + pax({b"uid": b"4000000000"}) + file(b"big", b"")
        + END
    )  # fmt: skip
    tree = unpack(tmp_path, archive)

    assert stat.S_IMODE((tree / "mail").stat().st_mode) == 0o2775
    assert ((tree / "mail/box").stat().st_gid, (tree / "su").stat().st_gid) == (0, 65537)
    assert ((tree / "su").stat().st_uid, (tree / "big").stat().st_uid) == (2**32 - 2, 4000000000)
    assert stat.S_IMODE((tree / "su").stat().st_mode) == 0o6755


@only_user
def test_everything_is_mine_without_root(tmp_path: Path) -> None:
    """Without root all files are the user's, who can read, write and remove them; devices are left out."""
    archive = (
        directory(b"locked", 0o000, uid=33) + file(b"locked/f", b"x", mode=0o000, uid=33) + file(b"run", b"", mode=0o055)
        + header(b"null", b"3", major=1, minor=3) + END
    )  # fmt: skip
    tree = unpack(tmp_path, archive)

    assert {(path.stat().st_uid) for path in tree.rglob("*")} == {os.getuid()}
    assert (tree / "locked/f").read_text() == "x"
    assert stat.S_IMODE((tree / "run").stat().st_mode) == 0o755
    assert not (tree / "null").exists()


@only_root
def test_devices_of_root(tmp_path: Path) -> None:
    """Root gets the device nodes of the archive, with their modes."""
    tree = unpack(tmp_path, header(b"null", b"3", mode=0o666, major=1, minor=3) + header(b"sda", b"4", major=8, minor=0) + END)

    assert (tree / "null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_IMODE((tree / "null").stat().st_mode) == 0o666
    assert stat.S_ISBLK((tree / "sda").stat().st_mode)


REFUSED = {
    "uid -1": file(b"f", uid=b"\xff" * 8),
    "uid 2^32": pax({b"uid": b"4294967296"}) + file(b"f"),
    "uid 2^32-1": pax({b"uid": b"4294967295"}) + file(b"f"),
    "negative size": header(b"f", size=b"\xff" * 12) + END,
    "negative pax size": pax({b"size": b"-512"}) + file(b"f"),
    "huge size": header(b"f", size=b"\x80" + b"\x7f" * 11),
    "8 EiB": pax({b"size": b"9223372036854775807"}) + header(b"f"),
    "no number": header(b"f", size=b"12345678xyz\0"),
    "pax number that is none": pax({b"size": b"0x10"}) + file(b"f"),
    "pax header of 64 MiB": header(b"pax", b"x", size=64 << 20),
    "GNU name of 16 MiB": header(b"././@LongLink", b"L", size=16 << 20, magic=b"ustar  \0"),
    "pax length that lies": header(b"pax", b"x", size=10) + padded(b"99 path=a\n"),
    "pax length zero": header(b"pax", b"x", size=10) + padded(b"0 path=ab\n"),
    "pax without a key": pax({b"": b"x"}),
    "pax path with a zero": pax({b"path": b"a\0b"}) + file(b"f"),
    "name of 64 KiB": pax({b"path": b"a/" * 32768}) + file(b"f"),
    "component of 256": pax({b"path": b"a" * 256}) + file(b"f"),
    "nested 2,000 deep": pax({b"path": b"a/" * 2000 + b"b"}) + file(b"f"),
    "symbolic link to nothing": symlink(b"s", b""),
    "unknown type": header(b"f", b"Q"),
    "overlay whiteout as a device": header(b"f", b"3", major=0, minor=0),
    "trusted.overlay.opaque": pax({b"SCHILY.xattr.trusted.overlay.opaque": b"y"}) + directory(b"d"),
    "user.overlay.whiteout": pax({b"SCHILY.xattr.user.overlay.whiteout": b"y"}) + file(b"f"),
    "user.overlay.redirect": pax({b"SCHILY.xattr.user.overlay.redirect": b"/etc"}) + directory(b"d"),
    "file below a file": file(b"f") + file(b"f/g"),
    "file below a link to nothing": symlink(b"s", b"missing") + file(b"s/g"),
    "not a tar": os.urandom(2048),
    "text": b"<html>" * 200,
    "wrong checksum": file(b"f", b"").replace(b"ustar", b"rats!"),
    "one block of zeros, then more": file(b"f") + bytes(512) + file(b"g") + END,
    "ends in a header": file(b"f", b"x")[:-700],
    "ends in a file": file(b"f", b"x" * 5000)[:-4000],
    "ends in the padding": file(b"f", b"x" * 5000)[:-10],
    "ends after a long name": header(b"././@LongLink", b"L", size=512, magic=b"ustar  \0") + b"a" * 512,
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    """What no sound archive contains is one clear error."""
    with pytest.raises(BadArchive) as caught:
        unpack(tmp_path, REFUSED[name] + (END if not name.startswith("ends") else b""))
    assert caught.value.hint or "cannot be made here" in str(caught.value)


def test_names_of_any_bytes(tmp_path: Path) -> None:
    """Newlines, escape sequences and invalid UTF-8 are names like others."""
    names = [b"new\nline", b"\x1b[31m", b"\xff\xfe", b"caf\xc3\xa9", b" ", b"-rf"]
    tree = unpack(tmp_path, b"".join(file(name, name) for name in names) + END)

    assert sorted(os.listdir(os.fsencode(tree))) == sorted(names)


def test_last_of_several_entries_wins(tmp_path: Path) -> None:
    """File over file, directory over file and back, full directory over link: the last one is there."""
    archive = (
        file(b"a", b"1") + file(b"a", b"22")
        + file(b"b", b"1") + directory(b"b", 0o700) + file(b"b/x") + directory(b"b", 0o711)
        + directory(b"c/d/e") + file(b"c/d/f") + file(b"c", b"3")
        + symlink(b"s", b"a") + directory(b"s") + symlink(b"s", b"b") + END
    )  # fmt: skip
    tree = unpack(tmp_path, archive)

    assert (tree / "a").read_bytes() == b"22"
    assert stat.S_IMODE((tree / "b").stat().st_mode) == 0o711
    assert (tree / "b/x").exists()
    assert (tree / "c").read_bytes() == b"3"
    assert os.readlink(tree / "s") == "b"


def test_pax_size_wins(tmp_path: Path) -> None:
    """The PAX size counts, so what it hides is content and no entry (CVE-2025-62518)."""
    hidden = file(b"smuggled", b"x") + END
    archive = pax({b"size": b"%d" % len(hidden)}) + header(b"f", size=0) + hidden + file(b"after") + END
    tree = unpack(tmp_path, archive)

    assert sorted(os.listdir(tree)) == ["after", "f"]
    assert (tree / "f").read_bytes() == hidden


def test_links_have_no_content(tmp_path: Path) -> None:
    """The size in a link's or directory's header is not content, as in Go's reader."""
    archive = (
        file(b"f", b"x") + header(b"h", b"1", link=b"f", size=512) + header(b"d", b"5", size=4096, mode=0o755) + file(b"g") + END
    )
    tree = unpack(tmp_path, archive)

    assert sorted(os.listdir(tree)) == ["d", "f", "g", "h"]
    assert (tree / "h").stat().st_nlink == 2


def test_global_header_is_not_applied(tmp_path: Path) -> None:
    """A global PAX header is read over, as Docker does: it renames nothing."""
    tree = unpack(tmp_path, pax({b"path": b"evil", b"comment": b"x"}, b"g") + file(b"f") + file(b"g") + END)

    assert sorted(os.listdir(tree)) == ["f", "g"]


def test_prefix_long_names_and_old_directories(tmp_path: Path) -> None:
    """The ustar prefix, GNU long names, and V7 directories that only a slash shows."""
    long = b"n" * 200
    archive = (
        file(b"name", b"1", rest=b"some/prefix")
        + header(b"././@LongLink", b"L", size=201, magic=b"ustar  \0") + padded(long + b"\0")
        + file(b"short", b"2", magic=b"ustar  \0")
        + header(b"old/", b"\0", magic=b"", mode=0o755) + file(b"old/f", b"3", kind=b"\0", magic=b"") + END
    )  # fmt: skip
    tree = unpack(tmp_path, archive)

    assert (tree / "some/prefix/name").read_bytes() == b"1"
    assert (tree / os.fsdecode(long)).read_bytes() == b"2"
    assert (tree / "old/f").read_bytes() == b"3"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({b"mtime": b"1234567890.987654321"}, 1234567890987654321),
        ({b"mtime": b"-5"}, 0),
        ({b"mtime": b"99999999999999"}, 0),
        ({b"mtime": b"1.5"}, 1_500_000_000),
    ],
)
def test_times(field: dict[bytes, bytes], expected: int, tmp_path: Path) -> None:
    """Times have nanoseconds; those that no filesystem holds become 1970, as in Docker."""
    tree = unpack(tmp_path, pax(field) + file(b"f") + pax(field) + directory(b"d") + file(b"d/x") + END)

    assert (tree / "f").stat().st_mtime_ns == expected
    assert (tree / "d").stat().st_mtime_ns == expected


def test_sparse_file_of_terabytes(tmp_path: Path) -> None:
    """A hole of 8 TiB costs no disk."""
    start = pax({b"GNU.sparse.size": b"%d" % (1 << 43), b"GNU.sparse.numblocks": b"1", b"GNU.sparse.map": b"1048576,5"})
    tree = unpack(tmp_path, start + file(b"f", b"hello") + END)

    status = (tree / "f").stat()
    assert (status.st_size, status.st_blocks * 512 < 1 << 20) == (1 << 43, True)
    with open(tree / "f", "rb") as opened:
        opened.seek(1 << 20)
        assert opened.read(5) == b"hello"


SPARSE_LIES = {
    "backwards": b"100,2,0,3",
    "overlapping": b"0,3,1,2",
    "beyond the end": b"1023,5",
    "odd": b"0,5,7",
    "words": b"a,b",
    "negative": b"-5,5",
    "says less than stored": b"0,4",
}


@pytest.mark.parametrize("name", SPARSE_LIES)
def test_sparse_maps_that_lie(name: str, tmp_path: Path) -> None:
    """A map must go upwards, stay in the file and account for every byte."""
    start = pax({b"GNU.sparse.size": b"1024", b"GNU.sparse.map": SPARSE_LIES[name]})
    with pytest.raises(BadArchive):
        unpack(tmp_path, start + file(b"f", b"hello") + END)


def test_a_million_pieces(tmp_path: Path) -> None:
    """A sparse map with more pieces than any file has is refused, in all its forms (CVE-2025-58183)."""
    old = header(b"f", b"S", size=0, magic=b"ustar  \0", rest=bytes(137) + b"\1" + octal(1 << 40, 12))
    block = b"".join(octal(at, 12) + octal(0, 12) for at in range(21)).ljust(504, b"\0") + b"\1" + bytes(7)
    body = b"1000000\n" + b"0\n" * 2_000_000
    new = pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"5"}) + file(b"f", body)
    for number, archive in enumerate((old + block * 50_000, new)):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(BadArchive):
            unpack(tmp_path / str(number), archive + END)


def test_no_end_and_garbage_after_it(tmp_path: Path) -> None:
    """An archive without an end marker is whole; what follows the marker is hashed and otherwise ignored."""
    for number, tail in enumerate((b"", bytes(512), END + b"garbage" * 1000)):
        (tmp_path / str(number)).mkdir()
        tree = unpack(tmp_path / str(number), file(b"f", b"x") + tail)
        assert os.listdir(tree) == ["f"]


def test_ordinary_xattrs(tmp_path: Path) -> None:
    """`user.*` attributes arrive; those of other kinds, which are the host's business, do not."""
    said = {
        b"SCHILY.xattr.user.colour": b"red\0\xff",
        b"SCHILY.xattr.trusted.other": b"x",
        b"SCHILY.xattr.security.selinux": b"x",
    }
    tree = unpack(tmp_path, pax(said) + file(b"f") + END)

    assert os.getxattr(tree / "f", "user.colour") == b"red\0\xff"
    assert os.listxattr(tree / "f") == ["user.colour"]


@only_root
def test_file_capabilities(tmp_path: Path) -> None:
    """`ping` keeps its capability."""
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    tree = unpack(tmp_path, pax({b"SCHILY.xattr.security.capability": capability}) + file(b"ping", mode=0o755) + END)

    assert os.getxattr(tree / "ping", "security.capability") == capability


def test_hundred_thousand_entries(tmp_path: Path) -> None:
    """A directory of very many entries works, and so does replacing one file very often."""
    archive = b"".join(file(b"d/%d" % number) for number in range(20_000)) + file(b"again", b"x") * 20_000 + END
    tree = unpack(tmp_path, archive)

    assert len(os.listdir(tree / "d")) == 20_000


def test_wrong_digests(tmp_path: Path) -> None:
    """A blob or a layer with another digest than promised is refused, also when it is no archive at all."""
    from pyck_magic.model.digest import Digest

    archive, other = file(b"f", b"x") + END, Digest.of(b"other")
    for number, options in enumerate(({"digest": other}, {"diff_id": other})):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(WrongDigest) as caught:
            unpack(tmp_path / str(number), archive, GZIP, blob=gzipped(archive), **options)
        assert caught.value.expected == str(other)
    (tmp_path / "noise").mkdir()
    with pytest.raises(WrongDigest):
        unpack(tmp_path / "noise", b"noise" * 1000, digest=other)


def test_python_can_read_what_we_make(tmp_path: Path) -> None:
    """The archives of these tests are what they seem to be to another reader as well."""
    path = tmp_path / "a.tar"
    path.write_bytes(pax({b"path": b"long/" + b"n" * 150}) + file(b"short", b"x") + hardlink(b"h", b"short") + END)
    with tarfile.open(path) as archive:
        assert [member.name for member in archive] == ["long/" + "n" * 150, "h"]
