"""What the tests of the registry room share."""

from collections.abc import Iterator

import pytest

from pyck_magic.registry import Registry
from pyck_magic.registry.settings import RegistrySettings
from tests.registry.lying import LyingRegistry


@pytest.fixture
def lying() -> Iterator[LyingRegistry]:
    """A registry that can be told to lie."""
    with LyingRegistry() as running:
        yield running


@pytest.fixture
def client() -> Iterator[Registry]:
    """Our side, on a machine where nothing is configured."""
    with Registry(RegistrySettings()) as made:
        yield made


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long we would have waited between tries; nobody waits."""
    waited: list[float] = []
    monkeypatch.setattr("pyck_magic.registry.patience.time.sleep", waited.append)
    return waited
