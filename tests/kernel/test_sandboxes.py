"""Sandboxes that wait to be asked for: they vanish with whoever keeps them, and are never the wrong ones."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pyck_magic import Engine
from pyck_magic.model.errors import LauncherDied, LaunchError, StoreError
from pyck_magic.model.options import RunOptions
from pyck_magic.runtime import sandboxes
from tests.images.registry import Registry

_ROOT = Path(__file__).parents[2]
_NO_NETWORK = RunOptions(network="none")


@pytest.fixture
def ready(engine: Engine, registry: Registry) -> Iterator[tuple[Engine, str]]:
    """An engine that has run something, so that sandboxes wait."""
    name = f"{registry.address}/tiny:latest"
    engine.pull(name)
    engine.run(name, ["true"], _NO_NETWORK)
    eventually(lambda: len(monitors(engine.home)) >= 2)
    yield engine, name


def waiting(home: Path) -> list[str]:
    return os.listdir(home / "sandboxes")


def monitors(home: Path) -> list[int]:
    """The processes that hold the lock of a sandbox, by what is written in it."""
    found = []
    for name in waiting(home):
        with contextlib.suppress(OSError, ValueError):
            found.append(int((home / "sandboxes" / name / "lock").read_text()))
    return found


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, pids)))


def test_they_vanish_with_their_engine(ready: tuple[Engine, str]) -> None:
    """A closed engine leaves neither folders nor processes."""
    engine, _name = ready
    pids = monitors(engine.home)
    engine.close()
    eventually(lambda: waiting(engine.home) == [] and not any(map(is_alive, pids)))


def test_they_vanish_with_a_killed_kernel(home: Path, registry: Registry) -> None:
    """After kill -9 of the process that has the engine nothing is left of sandboxes, launcher and running container."""
    script = f"""
import os, sys, time
from pyck_magic import Engine
from pyck_magic.model.options import RunOptions
from pyck_magic.runtime import sandboxes
engine = Engine({str(home)!r})
name = {f"{registry.address}/tiny:latest"!r}
engine.pull(name)
engine.run(name, ["true"])
running = engine.start(name, ["sleep", "1000"], RunOptions(name="long"))
while len(os.listdir(engine.home / "sandboxes")) < 2: time.sleep(0.01)
print("ready", flush=True)
time.sleep(1000)
"""
    victim = subprocess.Popen([sys.executable, "-c", script], cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None and victim.stdout.readline() == "ready\n"
    eventually(lambda: len(monitors(home)) >= 2)
    pids = [*monitors(home), *(int(path.read_text()) for path in (home / "containers").glob("*/lock"))]
    assert len(pids) >= 3 and all(map(is_alive, pids))
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    eventually(lambda: not any(map(is_alive, pids)))
    eventually(lambda: waiting(home) == [] and list((home / "containers").glob("*/lock")) == [])


def test_a_lost_launcher_is_replaced(ready: tuple[Engine, str]) -> None:
    """When the launcher and all it has prepared are killed, the next run makes do with a new one."""
    engine, name = ready
    parents = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in monitors(engine.home)}
    assert len(parents) == 1
    kill(*parents, *monitors(engine.home))
    for _again in range(6):
        assert engine.run(name, ["echo", "here"], _NO_NETWORK).text == "here\n"


def test_one_whose_monitor_is_gone_is_not_used(ready: tuple[Engine, str]) -> None:
    """Neither does it hurt when only the sandboxes were killed."""
    engine, name = ready
    kill(*monitors(engine.home))
    assert engine.run(name, ["echo", "here"], _NO_NETWORK).text == "here\n"


def test_an_image_that_came_again_is_not_the_old_one(ready: tuple[Engine, str]) -> None:
    """Sandboxes on layers that were removed are not used for layers that were pulled anew into the same places."""
    engine, name = ready
    engine.images.remove(name)
    engine.pull(name)
    for _again in range(6):
        assert engine.run(name, ["ls", "/bin/busybox"], _NO_NETWORK).text == "/bin/busybox\n"


def test_each_container_begins_fresh(ready: tuple[Engine, str]) -> None:
    """What one container writes is in no other, however far ahead they were prepared."""
    engine, name = ready
    for _again in range(6):
        assert engine.run(name, "ls /mine 2>/dev/null && exit 1; echo x > /mine; cat /mine", _NO_NETWORK).text == "x\n"


def test_options_are_those_of_the_request(ready: tuple[Engine, str]) -> None:
    """Another user, network or name gets a sandbox that was made for it; the one before is still good afterwards."""
    engine, name = ready
    assert engine.run(name, ["id", "-u"], _NO_NETWORK._replace(user="7")).text == "7\n"
    assert engine.run(name, ["hostname"], _NO_NETWORK._replace(hostname="elsewhere")).text == "elsewhere\n"
    own = os.readlink("/proc/self/ns/net")
    readlink = ["readlink", "/proc/self/ns/net"]
    assert engine.run(name, readlink, RunOptions(network="host")).text.strip() == own
    assert engine.run(name, readlink, _NO_NETWORK).text.strip() != own


def test_what_could_not_be_started_makes_room(ready: tuple[Engine, str]) -> None:
    """Programs that are missing use sandboxes up; new ones are prepared in their place, and the folders go."""
    engine, name = ready
    for _again in range(8):
        with pytest.raises(LaunchError, match="executable file not found"):
            engine.run(name, ["no-such-program"], _NO_NETWORK)
    eventually(lambda: len(waiting(engine.home)) >= 2)
    eventually(lambda: os.listdir(engine.home / "containers") in ([], [".swept"]))


def test_a_home_that_is_gone_is_an_error(ready: tuple[Engine, str], tmp_path: Path) -> None:
    """A folder that cannot be made is one clear error, and the engine can be used again afterwards."""
    engine, name = ready
    (engine.home / "sandboxes").rename(tmp_path / "elsewhere")
    with pytest.raises((StoreError, LauncherDied)) as caught:
        for _again in range(6):
            engine.run(name, ["true"], _NO_NETWORK._replace(user="9"))
    assert caught.value.hint
    (tmp_path / "elsewhere").rename(engine.home / "sandboxes")
    assert engine.run(name, ["echo", "here"], _NO_NETWORK._replace(user="9")).text == "here\n"


def test_a_crowd_leaves_no_more_than_a_few(ready: tuple[Engine, str]) -> None:
    """After many runs at once as many sandboxes wait as after a single one."""
    engine, name = ready
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _number: engine.run(name, ["true"], _NO_NETWORK), range(40)))
    eventually(lambda: len(waiting(engine.home)) == sandboxes.AHEAD)
    time.sleep(0.3)
    assert len(waiting(engine.home)) == sandboxes.AHEAD


def test_killed_ones_are_replaced(ready: tuple[Engine, str]) -> None:
    """Monitors that were killed while they waited are missed, and others are prepared in their place."""
    engine, name = ready
    eventually(lambda: len(monitors(engine.home)) == sandboxes.AHEAD)
    victims = monitors(engine.home)
    left = set(waiting(engine.home))
    kill(*victims)
    engine.run(name, ["true"], _NO_NETWORK)
    eventually(lambda: len(set(waiting(engine.home)) - left) == sandboxes.AHEAD)
