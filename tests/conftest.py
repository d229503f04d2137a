"""What tests share: real images, a real registry, a home of one's own.

Runs in:    pytest.
"""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.counting_proxy import CountingProxy
from tests.images.build import CannotBuild, Images, ready
from tests.images.registry import Registry

if TYPE_CHECKING:
    from pyck_magic import Engine


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the settings, credentials or home of who runs it."""
    somewhere = tmp_path_factory.mktemp("surroundings")
    monkeypatch.setenv("HOME", str(somewhere))
    monkeypatch.setenv("DOCKER_CONFIG", str(somewhere / ".docker"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(somewhere / ".config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(somewhere / ".local"))
    monkeypatch.delenv("PYCK_HOME", raising=False)


@pytest.fixture(scope="session")
def images() -> Images:
    """The test images (see tests/images/build.py): made by the first who asks, if this user can."""
    try:
        return ready()
    except CannotBuild as missing:
        if os.geteuid():
            pytest.skip(f"no test images: {missing}")
        raise


@pytest.fixture(scope="session")
def registry(images: Images) -> Iterator[Registry]:
    """A real registry that has every image: `f"{registry.address}/tiny"`. It is read-only; start another to push."""
    with Registry(images.registry_root, read_only=True) as running:
        yield running


@pytest.fixture
def proxy(registry: Registry) -> Iterator[CountingProxy]:
    """The same registry behind a proxy that counts bytes and can cut connections."""
    with CountingProxy("127.0.0.1", registry.port) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, which `pyck` processes started by the test use too."""
    folder = tmp_path / "home"
    monkeypatch.setenv("PYCK_HOME", str(folder))
    return folder


@pytest.fixture
def engine(home: Path) -> Iterator["Engine"]:
    """An engine on an empty home."""
    from pyck_magic import Engine

    made = Engine(home)
    yield made
    made.close()


@pytest.fixture(scope="session")
def pulled(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator["Pulled"]:
    """A home of the whole session that has the tiny and the BLAST image. Do not remove them."""
    from pyck_magic import Engine

    made = Engine(tmp_path_factory.mktemp("session") / "home")
    found = Pulled(made, f"{registry.address}/tiny:latest", f"{registry.address}/blast:latest")
    for reference in (found.tiny, found.blast):
        made.pull(reference)
    yield found
    made.close()


class Pulled:
    """An engine and the names of two images it has."""

    def __init__(self, engine: "Engine", tiny: str, blast: str) -> None:
        self.engine, self.tiny, self.blast = engine, tiny, blast
        self.home = engine.home


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out, with the reason, what this user or this machine cannot do."""
    userns = bool(os.geteuid() == 0 or subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode == 0)
    for item in items:
        if item.get_closest_marker("needs_root") and os.geteuid():
            item.add_marker(pytest.mark.skip(reason="needs root"))
        if item.get_closest_marker("needs_userns") and not userns:
            item.add_marker(pytest.mark.skip(reason="this machine makes no unprivileged user namespaces"))


def pytest_report_header() -> str:
    """Say who runs the tests, and where."""
    return f"pyck: uid {os.geteuid()} on {socket.gethostname()}, kernel {os.uname().release}"
