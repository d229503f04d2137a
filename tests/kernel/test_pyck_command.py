"""The `pyck` command from outside: real images, real containers, what it prints and how it exits.

Runs in:    pytest; every command is a process of its own.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conftest import Pulled
from tests.images.registry import Registry

pytestmark = pytest.mark.needs_userns


def command(*words: str) -> list[str]:
    """The words that start `pyck`."""
    return [sys.executable, "-m", "pyck_magic", *words]


def pyck(home: Path, *words: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end."""
    surroundings = {**os.environ, "PYCK_HOME": str(home), **(env or {})}
    return subprocess.run(command(*words), input=stdin, capture_output=True, env=surroundings, timeout=120)


def text(home: Path, *words: str) -> str:
    """The stdout of a command that must succeed."""
    done = pyck(home, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def rows(home: Path, *words: str) -> list[dict[str, object]]:
    """The objects of `--format json`."""
    return [json.loads(line) for line in text(home, *words, "--format", "json").splitlines()]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 3"], 3),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_run_exits_as_docker_run_does(pulled: Pulled, words: list[str], code: int) -> None:
    """The program's own code, 128+N after a signal, 127 and 126 for what cannot be started."""
    done = pyck(pulled.home, "run", "--rm", "--network", "none", pulled.tiny, *words)
    assert done.returncode == code, done.stderr
    assert (b"pyck: " in done.stderr) == (code in (126, 127))


@pytest.mark.parametrize(
    "words", [["--netwrok", "none"], ["--pull", "never"], ["-v", "/nowhere/at/all:/x"], ["--userns", "sideways"]]
)
def test_what_we_cannot_do_is_125(pulled: Pulled, words: list[str]) -> None:
    """One line that says what happened, one that says what to do, and no container."""
    done = pyck(pulled.home, "run", *words, "no/such-image" if "never" in words else pulled.tiny, "true")
    assert done.returncode == 125
    assert [line.split(b":")[0] for line in done.stderr.splitlines()] == [b"pyck", b"hint"]
    assert b"Traceback" not in done.stderr


def test_streams_are_the_commands_own(pulled: Pulled) -> None:
    """stdin with -i and only then; stdout and stderr apart; bytes as they are."""
    data = bytes(range(256)) * 1000
    done = pyck(pulled.home, "run", "--rm", "-i", pulled.tiny, "sh", "-c", "cat; echo no >&2", stdin=data)
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"no\n")
    assert pyck(pulled.home, "run", "--rm", pulled.tiny, "cat", stdin=data).stdout == b""


def test_run_keeps_dockers_rules(pulled: Pulled, tmp_path: Path) -> None:
    """Nothing mounted, the image's directory and environment, and what options change of it."""
    plain = text(pulled.home, "run", "--rm", pulled.tiny, "sh", "-c", "pwd; ls -d /tmp/pytest* 2>/dev/null; echo ${HERE-unset}")
    assert plain.split() == ["/", "unset"]
    (tmp_path / "file").write_text("from outside\n")
    options = ["-e", "HERE=1", "-w", "/data", "-v", f"{tmp_path}:/data:ro", "--hostname", "lab", "--network", "none"]
    script = "pwd; echo $HERE; cat file; hostname; touch new 2>/dev/null || echo read-only"
    told = text(pulled.home, "run", "--rm", *options, pulled.tiny, "sh", "-c", script)
    assert told.splitlines() == ["/data", "1", "from outside", "lab", "read-only"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 10)])
def test_signals_go_to_the_program(pulled: Pulled, number: int, code: int) -> None:
    """Its default action or its own handler decides, and its exit code is ours."""
    script = "trap 'exit 10' USR1; echo ready; while :; do sleep 0.05; done"
    with subprocess.Popen(
        command("run", "--rm", pulled.tiny, "sh", "-c", script),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYCK_HOME": str(pulled.home)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(timeout=30) == code


def test_the_third_interrupt_ends_a_program_that_ignores_them(pulled: Pulled) -> None:
    """As with docker run; nothing is left of the container."""
    words = command("run", "--rm", "--name", "stubborn", pulled.tiny, "sh", "-c", "trap '' INT; echo ready; sleep 100; sleep 100")
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYCK_HOME": str(pulled.home)}) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 137
    assert "stubborn" not in text(pulled.home, "ps", "-a")


def test_a_container_is_kept_listed_inspected_and_removed(pulled: Pulled) -> None:
    """The life of a container that was run without --rm."""
    home = pulled.home
    assert pyck(home, "run", "--name", "kept", "-e", "A=1", pulled.tiny, "sh", "-c", "exit 3").returncode == 3
    assert "kept" not in text(home, "ps")
    heading, line = (row for row in text(home, "ps", "-a").splitlines() if "kept" in row or "CONTAINER ID" in row)
    assert heading.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    assert "Exited (3) " in line and '"sh -c exit 3"' in line
    (row,) = (row for row in rows(home, "ps", "-a", "--no-trunc") if row["Names"] == "kept")
    (document,) = json.loads(text(home, "inspect", "kept"))
    assert (document["Id"], document["Name"]) == (row["ID"], "/kept")
    assert (document["State"]["ExitCode"], document["State"]["Running"]) == (3, False)
    assert (document["Path"], document["Args"]) == ("sh", ["-c", "exit 3"])
    assert "A=1" in document["Config"]["Env"]
    taken = pyck(home, "run", "--name", "kept", pulled.tiny, "true")
    assert taken.returncode == 125 and b"kept" in taken.stderr
    done = pyck(home, "rm", "kept", "nobody")
    assert (done.returncode, done.stdout) == (1, b"kept\n")
    assert b"nobody" in done.stderr
    assert "kept" not in text(home, "ps", "-aq") + text(home, "ps", "-a")


def test_a_running_container_is_removed_by_force_only(pulled: Pulled) -> None:
    """And is up until then."""
    words = command("run", "--name", "busy", pulled.tiny, "sh", "-c", "echo ready; sleep 100")
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYCK_HOME": str(pulled.home)}) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert re.search(r"Up .* busy", text(pulled.home, "ps"))
        refused = pyck(pulled.home, "rm", "busy")
        assert refused.returncode == 1 and b"running" in refused.stderr
        assert text(pulled.home, "rm", "-f", "busy") == "busy\n"
        assert process.wait(timeout=30) != 0


def test_pull_prints_dockers_lines_where_there_is_no_terminal(home: Path, registry: Registry) -> None:
    """One line per change of state, the digest, the status, the whole name; the second time it is up to date."""
    name = f"{registry.address}/tiny"
    lines = text(home, "pull", name).splitlines()
    assert lines[0] == "latest: Pulling from tiny"
    assert re.fullmatch(r"Digest: sha256:[0-9a-f]{64}", lines[-3])
    assert lines[-2:] == [f"Status: Downloaded newer image for {name}:latest", f"{name}:latest"]
    layers = {line[:12] for line in lines if line.endswith("Pull complete")}
    assert len(layers) == 2 and all(re.fullmatch("[0-9a-f]{12}", layer) for layer in layers)
    again = text(home, "pull", name).splitlines()
    assert f"Status: Image is up to date for {name}:latest" in again
    assert text(home, "pull", "-q", name) == f"{name}:latest\n"


def test_pull_draws_bars_on_a_terminal(home: Path, registry: Registry) -> None:
    """A row per layer, which stays in the scrollback when it is over."""
    screen = on_terminal(home, "pull", f"{registry.address}/tiny")
    assert screen.count("done") >= 2 and "━" in screen
    assert "Status: Downloaded newer image" in screen


def test_many_layers_fold(home: Path, registry: Registry) -> None:
    """Sixty-two layers on a screen of twenty-four lines."""
    screen = on_terminal(home, "pull", f"{registry.address}/many")
    assert re.search(r"… \d+ more", screen)
    assert "Status: Downloaded newer image" in screen


def on_terminal(home: Path, *words: str) -> str:
    """What a command writes to a terminal of 80 by 24, as it comes."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {**os.environ, "PYCK_HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8"}
    with subprocess.Popen(command(*words), stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        seen = bytearray()
        while chunk := read_or_end(ours):
            seen += chunk
    os.close(ours)
    assert process.returncode == 0, seen.decode()
    return seen.decode()


def read_or_end(fd: int) -> bytes:
    """A terminal whose last writer is gone answers EIO."""
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""


def test_images_are_listed_inspected_and_removed(home: Path, registry: Registry) -> None:
    """The life of an image, in Docker's columns and Docker's JSON."""
    name = f"{registry.address}/tiny"
    text(home, "pull", name)
    heading, line = text(home, "images").splitlines()
    assert heading.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert line.split()[:2] == [name, "latest"] and re.search(r"[\d.]+[kM]B$", line)
    (full_id,) = text(home, "images", "-q", "--no-trunc").split()
    assert full_id.startswith("sha256:") and full_id[7:19] == text(home, "images", "-q").strip()
    (row,) = rows(home, "images", f"{name}:latest")
    assert (row["Repository"], row["Tag"]) == (name, "latest")
    assert "sha256:" in text(home, "images", "--digests") and "DIGEST" in text(home, "images", "--digests")
    assert text(home, "images", "other").splitlines() == ["REPOSITORY   TAG       IMAGE ID   CREATED   SIZE"]
    (document,) = json.loads(text(home, "inspect", name))
    assert (document["Id"], document["RepoTags"]) == (full_id, [f"{name}:latest"])
    assert document["Config"]["Cmd"] == ["sh"] and len(document["RootFS"]["Layers"]) == 2
    history = text(home, "history", name).splitlines()
    assert history[0].split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert history[1].startswith(full_id[7:19]) and len(history) >= 3
    lines = text(home, "rmi", name).splitlines()
    assert lines[0] == f"Untagged: {name}:latest" and f"Deleted: {full_id}" in lines
    missing = pyck(home, "rmi", name)
    assert missing.returncode == 1 and missing.stderr.startswith(b"pyck: ")
    assert pyck(home, "inspect", name).returncode == 1


def test_inspect_of_an_image_says_what_docker_says(pulled: Pulled) -> None:
    """Every field we fill is named as in Docker, and Config is the image's own."""
    (document,) = json.loads(text(pulled.home, "inspect", pulled.blast))
    assert document["Config"]["User"] == "biodocker" and document["Config"]["WorkingDir"] == "/data"
    assert document["Os"] == "linux" and document["Size"] > 10**8
    assert document["RepoDigests"][0].startswith(pulled.blast.rpartition(":")[0] + "@sha256:")


def test_tags_are_listed(home: Path, registry: Registry) -> None:
    """With sizes and platforms."""
    heading, *lines = text(home, "tags", f"{registry.address}/tiny").splitlines()
    assert heading.split() == ["TAG", "CREATED", "SIZE", "PLATFORMS", "DIGEST"]
    assert any(line.startswith("latest ") and "linux/" in line and "sha256:" in line for line in lines)


@pytest.mark.parametrize(("words", "code"), [(["images", "--bad"], 125), (["pll"], 1), (["pull"], 1), (["ps", "extra"], 1)])
def test_usage_errors_have_dockers_codes(home: Path, words: Sequence[str], code: int) -> None:
    """And make no home."""
    done = pyck(home, *words)
    assert (done.returncode, done.stdout) == (code, b"")
    assert not home.exists()


def test_help_and_version_need_no_home(home: Path) -> None:
    """Help is what one asks for before anything else works."""
    assert text(home) == text(home, "--help") == text(home, "help")
    assert text(home, "run", "--help") == text(home, "help", "run")
    assert "Version: " in text(home, "version") == text(home, "--version")
    assert not home.exists()


def test_facts_and_checks_are_shown(pulled: Pulled) -> None:
    """`info` counts, `doctor` tries."""
    assert re.search(r"^ Images: \d+$", text(pulled.home, "info"), re.M)
    assert re.search(r"^ok +", text(pulled.home, "doctor"), re.M)


def test_a_reader_may_leave(pulled: Pulled) -> None:
    """`pyck help | head -0` ends without a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command("help"), stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_fresh_run_imports_little() -> None:
    """Neither libraries for downloads and drawing nor parsers are loaded to start a container."""
    script = "import sys, pyck_magic.commands.terminal, pyck_magic.engine; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"rich", "httpx", "argparse", "pandas", "IPython", "asyncio", "difflib", "textwrap"} & set(loaded)
