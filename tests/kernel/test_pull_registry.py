"""Pulling from a real registry, with the bytes counted on their way."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pyck_magic import Engine
from pyck_magic.model.errors import PyckError
from pyck_magic.model.events import LayerProgress, Phase
from tests.counting_proxy import CountingProxy
from tests.images.registry import Registry


def test_image_equals_what_another_tool_unpacks(engine: Engine, registry: Registry, tmp_path: Path) -> None:
    """The digest of every file, mode, owner, link and time of the BLAST image's base is what GNU tar makes of the same layer."""
    report = engine.pull(f"{registry.address}/blast")
    digest = report.layers[0].layer
    blobs = [path for path in (engine.home / "blobs/sha256").iterdir() if path.name.startswith(digest)]
    expected = tmp_path / "expected"
    expected.mkdir()
    subprocess.run(["tar", "-xpzf", str(blobs[0]), "-C", str(expected), "--exclude=dev/*"], check=True)
    here = engine.home / "layers/sha256" / report.image.layers[0].hex

    show = (
        r"find . -path ./dev -prune -o ! -type d -printf '%P %y %l %s\n' | sort;"
        "find . -path ./dev -prune -o -type f -print0 | sort -z | xargs -0 sha256sum"
    )
    if os.geteuid() == 0:
        show = show.replace("%s", "%s %m %U %G %T@ %n")
    told = [subprocess.run(["sh", "-c", show], cwd=tree, capture_output=True, check=True).stdout for tree in (here, expected)]
    assert told[0] == told[1]
    assert len(told[0].splitlines()) > 1000


@pytest.mark.parametrize("name", ["plain", "zstd"])
def test_other_compressions_are_the_same_layers(name: str, engine: Engine, registry: Registry) -> None:
    """Layers stored as they are, or packed with zstd, become the very layers that gzip would bring, and serve for both."""
    other = engine.pull(f"{registry.address}/{name}").image
    tiny = engine.pull(f"{registry.address}/tiny").image
    assert other.layers == tiny.layers
    assert other.manifest_digest != tiny.manifest_digest
    assert engine.run(f"{registry.address}/{name}", ["busybox", "echo", name]).text == f"{name}\n"


def test_second_pull_asks_for_no_blob(engine: Engine, proxy: CountingProxy) -> None:
    """What is up to date costs a look at the manifest, and no layer."""
    first = engine.pull(f"{proxy.address}/blast")
    layers = {f"/blobs/sha256:{layer.layer}" for layer in first.layers}
    assert first.fetched_bytes > 10 << 20
    proxy.forget()
    second = engine.pull(f"{proxy.address}/blast")

    assert second.up_to_date
    assert not [one for one in proxy.exchanges if any(layer in one.path for layer in layers)]


_ROOT = Path(__file__).parents[2]
_PULL = """
import sys
from pyck_magic import Engine
Engine(sys.argv[1]).pull(sys.argv[2])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_only_what_is_missing_comes_again(number: signal.Signals, home: Path, proxy: CountingProxy) -> None:
    """Of an image whose pull was ended at three quarters, the next pull fetches the last quarter: counted at the registry."""
    Engine(home).close()
    total = _total_bytes(proxy, home.parent / "other")
    proxy.forget()
    enough = threading.Event()
    victim = subprocess.Popen(
        [sys.executable, "-c", _PULL, str(home), f"{proxy.address}/blast"],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    try:
        while not enough.wait(0.001):
            assert victim.poll() is None, "the pull was over before it could be interrupted"
            if sum((home / "partial" / name).stat().st_size for name in _partials(home)) + _blobs(home) >= 0.75 * total:
                break
        victim.send_signal(number)
    finally:
        victim.wait()
    on_disk = sum((home / "partial" / name).stat().st_size for name in _partials(home)) + _blobs(home)
    proxy.forget()
    with Engine(home) as engine:
        assert engine.images.list() == ()
        report = engine.pull(f"{proxy.address}/blast")

    layers = {f"/blobs/sha256:{layer.layer}" for layer in report.layers}
    came = sum(one.body_bytes for one in proxy.exchanges if any(layer in one.path for layer in layers))
    print(f"of {total} bytes {on_disk} were on disk when the pull was ended; the next one fetched {came}")
    assert on_disk >= 0.75 * total
    assert came == report.fetched_bytes == total - on_disk


def _partials(home: Path) -> list[str]:
    try:
        return [name for name in os.listdir(home / "partial") if len(name) == 64]
    except FileNotFoundError:
        return []


def _blobs(home: Path) -> int:
    return sum(path.stat().st_size for path in (home / "blobs/sha256").iterdir())


def _total_bytes(proxy: CountingProxy, folder: Path) -> int:
    """What the layers of the BLAST image weigh, compressed."""
    with Engine(folder) as engine:
        return sum(layer.bytes for layer in engine.pull(f"{proxy.address}/blast").layers)


def test_dropped_connections(engine: Engine, proxy: CountingProxy, tmp_path: Path) -> None:
    """A connection that drops in the middle of a layer, twice, costs no byte twice."""
    with Engine(tmp_path / "other") as other:
        layers = other.pull(f"{proxy.address}/tiny").layers
    biggest = max(layers, key=lambda layer: layer.bytes)
    proxy.forget()
    proxy.drop_after = {f"/blobs/sha256:{biggest.layer[:6]}": 300_000, f"/blobs/sha256:{biggest.layer}": 100_000}
    engine.pull(f"{proxy.address}/tiny")

    seen = [one for one in proxy.exchanges if f"/blobs/sha256:{biggest.layer}" in one.path]
    assert [one.dropped for one in seen] == [True, True, False]
    assert sum(one.body_bytes for one in seen) == biggest.bytes


def test_two_processes_download_once(home: Path, proxy: CountingProxy) -> None:
    """Two notebooks that pull the same image at once download it once."""
    Engine(home).close()
    pulls = [
        subprocess.Popen([sys.executable, "-c", _PULL, str(home), f"{proxy.address}/blast"], cwd=_ROOT) for _number in range(2)
    ]
    assert [one.wait() for one in pulls] == [0, 0]
    with Engine(home) as engine:
        report = engine.pull(f"{proxy.address}/blast")
    for layer in report.layers:
        assert sum(one.body_bytes for one in proxy.exchanges if f"/blobs/sha256:{layer.layer}" in one.path) == layer.bytes


def test_layers_of_other_images_are_reused(engine: Engine, registry: Registry) -> None:
    """BLAST stands on the Debian base: with that here, its layer is not fetched again."""
    engine.pull(f"{registry.address}/debian")
    phases: dict[int, set[Phase]] = {}

    def watch(event: object) -> None:
        if isinstance(event, LayerProgress):
            phases.setdefault(event.index, set()).add(event.phase)

    report = engine.pull(f"{registry.address}/blast", watch=watch)

    assert report.reused_layers == 1
    assert phases[0] == {Phase.ALREADY_HERE}
    assert {Phase.DOWNLOADING, Phase.UNPACKING, Phase.DONE} <= phases[1]


def test_registry_that_is_gone(home: Path) -> None:
    """A registry that cannot be reached is an error with a hint, and the home stays empty."""
    with Engine(home) as engine:
        with pytest.raises(PyckError) as caught:
            engine.pull("127.0.0.1:9/blast")
        assert caught.value.hint
        assert engine.images.list() == ()
    assert _partials(home) == []
