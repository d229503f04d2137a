"""No descriptor of the host's can be reached from a container, by whatever path it has us follow (CVE-2024-21626)."""

import os
import select
from pathlib import Path

import pytest

from pyck_magic.model.errors import LaunchError
from pyck_magic.model.options import RunOptions, Volume
from tests.conftest import Pulled
from tests.kernel.sandbox import MODES, make_image, run

NUMBERS = range(3, 40)
UP = "/.." * 12


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the host's that only we may read."""
    file = tmp_path / "secret"
    file.write_text("of the host")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("landlock", [True, False], ids=["landlock", "without landlock"])
def test_working_directories_and_programs(mode: str, landlock: bool, tmp_path: Path) -> None:
    """Neither makes a directory on the host, nor starts a host's program: not in a sandbox, whatever the number."""
    image = make_image(tmp_path / "image")
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho got out\n")
    program.chmod(0o755)
    for number in (3, 4, 5, 6, 7, 8, 9, 10, 12, 16):
        made = tmp_path / f"made-{number}"
        there = f"/proc/self/fd/{number}{UP}"
        room = tmp_path / f"room-{number}"
        ending = run(room, "echo ran", mode=mode, image=image, landlock=landlock, workdir=f"{there}{made}")
        assert not made.exists()
        ending = run(room / "again", f"{there}{program}", "x", mode=mode, image=image, landlock=landlock)
        assert "got out" not in ending.out


def test_results(pulled: Pulled, secret: Path) -> None:
    """A result that is a link to where one of our descriptors leads does not bring a host's file; the control brings its own."""
    for number in NUMBERS:
        script = f"ln -s /proc/self/fd/{number}{UP}{secret} out; ln -s /proc/1/fd/{number}{UP}{secret} other; echo mine > own"
        options = RunOptions(network="none", workdir="/tmp", outputs=("out", "other", "own"))
        files = pulled.engine.run(pulled.tiny, script, options).files
        assert files == {"own": b"mine\n"}


def test_results_that_cannot_be_read(pulled: Pulled) -> None:
    """Directories, devices and files of the kernel's are no results, and no traceback."""
    options = RunOptions(network="none", workdir="/tmp", outputs=("a", "b", "c", "d"))
    script = "mkdir a; ln -s /proc/self/mem b; ln -s /dev/zero c; ln -s d d"
    assert pulled.engine.run(pulled.tiny, script, options).files == {}


def test_a_directory_is_no_stdin(pulled: Pulled) -> None:
    """It would be a way out, and nobody can mean it."""
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(Exception, match="a directory cannot be"):
            pulled.engine.start(pulled.tiny, ["ls"], stdin_fd=fd)
    finally:
        os.close(fd)


def test_links_of_the_host_stay(pulled: Pulled, tmp_path: Path) -> None:
    """A dangling link in a mounted folder is the host's: it stays, and what is mounted below it is where it leads."""
    project, scratch = tmp_path / "project", tmp_path / "scratch"
    for folder in (project, scratch):
        folder.mkdir()
    (scratch / "file").write_text("data\n")
    (project / "data").symlink_to("/elsewhere/deep")
    volumes = (Volume(source=str(project), target="/proj"), Volume(source=str(scratch), target="/proj/data"))
    done = pulled.engine.run(pulled.tiny, ["cat", "/proj/data/file", "/elsewhere/deep/file"], RunOptions(volumes=volumes))
    assert done.text == "data\ndata\n"
    assert os.readlink(project / "data") == "/elsewhere/deep"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts on the host")
def test_what_was_mounted_meanwhile_is_seen(pulled: Pulled, tmp_path: Path) -> None:
    """Sandboxes were prepared before: what is mounted and unmounted on a volume's source afterwards counts all the same."""
    from pyck_magic.linux import libc

    source = tmp_path / "source"
    source.mkdir()
    options = RunOptions(volumes=(Volume(source=str(source), target="/data"),))

    def seen() -> str:
        return pulled.engine.run(pulled.tiny, ["ls", "/data"], options).text

    assert seen() == ""
    libc.mount("tmpfs", str(source), "tmpfs")
    (source / "mounted").touch()
    try:
        assert [seen() for _again in range(4)] == ["mounted\n"] * 4
    finally:
        libc.umount2(str(source))
    assert [seen() for _again in range(4)] == [""] * 4


def test_deep_trees_are_removed(pulled: Pulled) -> None:
    """Two thousand nested directories take no more descriptors than a few, and leave nothing."""
    script = 'i=0; while [ $i -lt 2000 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done'
    before = set(os.listdir(pulled.home / "containers"))
    running = pulled.engine.start(pulled.tiny, script, RunOptions(network="none", workdir="/tmp"))
    assert running.wait(60).exit_code == 0
    assert running.gone(60)
    running.close()
    assert set(os.listdir(pulled.home / "containers")) <= before


def test_last_words_are_not_lost(pulled: Pulled) -> None:
    """Signals that cross the program's end on their way do not hide how it ended."""
    for _again in range(40):
        running = pulled.engine.start(pulled.tiny, "trap '' INT; echo ready; exit 7", RunOptions(network="none"))
        select.select([running.stdout_fd], [], [])
        while not running.finished():
            running.signal(2)
        assert running.wait().exit_code == 7
        running.close()


def test_odd_numbers(pulled: Pulled) -> None:
    """A time limit of months, a signal that does not exist, and a kernel with very many files open do no harm."""
    held = [os.open("/dev/null", os.O_RDONLY) for _number in range(1100)] if _may_open(2000) else []
    try:
        running = pulled.engine.start(pulled.tiny, ["sleep", "0.2"], RunOptions(network="none", timeout_s=86400.0 * 90))
        running.signal(999)
        assert running.wait(30).exit_code == 0
        running.close()
    finally:
        for fd in held:
            os.close(fd)


def _may_open(count: int) -> bool:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= count


def test_a_program_of_another_users_opens_its_pipes(pulled: Pulled) -> None:
    """/dev/stdout and /dev/stderr can be opened by name, also where the image names a USER, as BLAST's does."""
    done = pulled.engine.run(pulled.blast, "echo out > /dev/stdout; echo err > /dev/stderr", RunOptions(network="none"))
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_missing_shells_are_told_apart(pulled: Pulled, tmp_path: Path) -> None:
    """`run IMAGE sh` is missing sh; so says Docker."""
    with pytest.raises(LaunchError, match='exec: "nosuch": executable file not found'):
        pulled.engine.run(pulled.tiny, ["nosuch"], RunOptions(network="none"))
