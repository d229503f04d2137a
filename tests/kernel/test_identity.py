"""Who a program runs as: spellings of --user against real files of an image, friendly and hostile."""

import os
import resource
from pathlib import Path

import pytest

from pyck_magic.engine.identity import Identity, identify
from pyck_magic.model.errors import BadRequest
from tests.kernel.sandbox import MODES, run

PASSWD = """root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
ada:x:1000:1001:Ada:/home/ada:/bin/sh
1000:x:0:0:a name that looks like a number:/root:/bin/sh
1234:x:4321:4321::/nine:/bin/sh
-1:x:0:0::/root:/bin/sh
+7:x:0:0::/root:/bin/sh
0x10:x:0:0::/sixteen:/bin/sh
nine:x:9:notanumber::/nine:/bin/sh
short:x:5
huge:x:4294967296:0::/root:/bin/sh
wrapped:x:18446744073709551616:0::/root:/bin/sh
negative:x:-5:0::/root:/bin/sh
arabic:x:\u0661\u0662:0::/root:/bin/sh
"""
GROUP = """root:x:0:
adm:x:4:ada,daemon
staff:x:50:ada
users:x:1001:ada
5000:x:0:ada
big:x:4294967296:someone
"""


@pytest.fixture
def layer(tmp_path: Path) -> str:
    """One layer with the files above."""
    (tmp_path / "layer/etc").mkdir(parents=True)
    (tmp_path / "layer/etc/passwd").write_text(PASSWD)
    (tmp_path / "layer/etc/group").write_text(GROUP)
    return str(tmp_path / "layer")


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", Identity(0, 0, (), "/root")),
        ("root", Identity(0, 0, (), "/root")),
        ("0", Identity(0, 0, (), "/root")),
        ("0:0", Identity(0, 0, (), "/root")),
        ("1", Identity(1, 1, (4,), "/usr/sbin")),
        ("daemon", Identity(1, 1, (4,), "/usr/sbin")),
        ("ada", Identity(1000, 1001, (4, 50, 0), "/home/ada")),
        ("ada:staff", Identity(1000, 50, (), "/home/ada")),
        ("ada:7", Identity(1000, 7, (), "/home/ada")),
        ("1000", Identity(1000, 1001, (4, 50, 0), "/home/ada")),  # a number, whatever the name says (CVE-2026-46680)
        ("1000:1000", Identity(1000, 1000, (), "/home/ada")),
        ("1234", Identity(1234, 0, (), "/")),
        ("01000", Identity(1000, 1001, (4, 50, 0), "/home/ada")),
        ("5:5000", Identity(5, 5000, (), "/")),  # a group's number, not the group that is called so
        ("2147483647", Identity(2147483647, 0, (), "/")),
        ("9", Identity(9, 0, (), "/nine")),
        ("0x10", Identity(0, 0, (), "/sixteen")),  # a name, as it stands in passwd
        ("+7", Identity(7, 0, (), "/")),
    ],
)
def test_spellings_that_mean_somebody(layer: str, user: str, expected: Identity) -> None:
    """Names by passwd, numbers as numbers, groups only those that are meant."""
    assert identify(user, [layer]) == expected


@pytest.mark.parametrize(
    "user",
    [
        "nobody", "Root", " root", "root ", "ada:nogroup", "-1", "-1:0", "0:-1", "2147483648", "4294967295", "4294967296",
        "18446744073709551616", "9" * 4000, "1.0", "1e3", "0x0", "٠", "huge", "wrapped", "negative", "arabic", "short",
        "ada:4294967296", "ada:big", "root\n", "../../etc/passwd", "%s", "x" * 100000,
    ],
)  # fmt: skip
def test_spellings_that_mean_nobody(layer: str, user: str) -> None:
    """Neither a name in passwd nor a number below 2^31: refused, never root by wrapping (CVE-2024-40635, CVE-2026-30892)."""
    with pytest.raises(BadRequest):
        identify(user, [layer])


def test_the_topmost_layer_speaks(layer: str, tmp_path: Path) -> None:
    """A passwd in an upper layer replaces the one below; a layer without one is silent."""
    (tmp_path / "upper/etc").mkdir(parents=True)
    (tmp_path / "upper/etc/passwd").write_text("ada:x:7:8::/seven:/bin/sh\n")
    (tmp_path / "empty").mkdir()
    assert identify("ada", [layer, str(tmp_path / "upper"), str(tmp_path / "empty")]) == Identity(
        7, 8, (4, 50, 1001, 0), "/seven"
    )


@pytest.mark.parametrize("kind", ["fifo", "directory", "link to a fifo", "link in circles", "link to the host", "magic link"])
def test_a_passwd_that_is_no_file_is_no_passwd(tmp_path: Path, kind: str) -> None:
    """FIFO, directory and links out of the image neither hang nor lead outside (CVE-2024-9676); numbers still work."""
    outside = tmp_path / "outside"
    outside.write_text("ada:x:0:0::/root:/bin/sh\n")
    etc = tmp_path / "layer/etc"
    etc.mkdir(parents=True)
    match kind:
        case "fifo":
            os.mkfifo(etc / "passwd")
        case "directory":
            (etc / "passwd").mkdir()
        case "link to a fifo":
            os.mkfifo(etc / "pipe")
            (etc / "passwd").symlink_to("pipe")
        case "link in circles":
            (etc / "passwd").symlink_to("passwd")
        case "link to the host":
            (etc / "passwd").symlink_to(outside)
        case "magic link":
            (etc / "passwd").symlink_to(f"/proc/self/root{outside}")
    layers = [str(tmp_path / "layer")]
    assert identify("1000:1000", layers) == Identity(1000, 1000, (), "/")
    with pytest.raises(BadRequest):
        identify("ada", layers)


def test_a_giant_passwd_is_read_in_part(tmp_path: Path) -> None:
    """A passwd of a gigabyte costs neither memory nor time: what stands at its beginning counts (CVE-2026-47262)."""
    etc = tmp_path / "layer/etc"
    etc.mkdir(parents=True)
    with open(etc / "passwd", "wb") as file:
        file.write(b"ada:x:1000:1000::/home/ada:/bin/sh\n")
        file.truncate(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert identify("ada", [str(tmp_path / "layer")]).uid == 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("uid", "gid", "groups"), [(0, 0, ()), (1000, 1000, ()), (1000, 1001, (4, 50)), (65534, 65534, ())])
def test_the_kernel_agrees(tmp_path: Path, mode: str, uid: int, gid: int, groups: tuple[int, ...]) -> None:
    """The program has exactly the ids of its identity, real, effective, saved and for files; and its groups alone, as root."""
    ending = run(tmp_path, "grep -E '^(Uid|Gid|Groups)' /proc/self/status", mode=mode, uid=uid, gid=gid, groups=groups)
    lines = {line.split(":")[0]: line.split(":")[1].split() for line in ending.out.splitlines()}
    assert lines["Uid"] == [str(uid)] * 4 and lines["Gid"] == [str(gid)] * 4
    if mode == "root":
        assert sorted(map(int, lines["Groups"])) == sorted(groups)
    else:
        assert set(lines["Groups"]) <= {str(gid), "65534"}
