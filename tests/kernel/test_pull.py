"""Pulling from a source that may lie, stall or be interrupted. What a real registry does is tested elsewhere."""

import _thread
import gc
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pyck_magic.engine.pull import PullReport, pull
from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BadArchive, BadManifest, BrokenContent, NotFound, StoreError, WrongDigest
from pyck_magic.model.events import LayerProgress, Phase, PullNote, PullResolved
from pyck_magic.store import Home
from tests.kernel.pull_source import Gate, Source
from tests.kernel.unpack_archives import END, directory, file, fingerprint

NAME = "example.org/tools/thing:1"


def _noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


BASE = directory(b"d") + file(b"d/base", _noise(1, 3_000_000)) + END
MIDDLE = file(b"middle", _noise(2, 2_000_000)) + END
TOP = file(b"top", b"top") + END
EMPTY = END


def _pull(home: Home, source: Any, name: str = NAME, **options: Any) -> PullReport:
    return pull(home, name, registry=source, platform="linux/amd64", **options)


@pytest.fixture
def store(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def _assert_nothing_half_made(home: Home) -> None:
    for thread in threading.enumerate():
        if thread.name == "pyck-remover":
            thread.join()
    assert os.listdir(home.layers.unpacking) == []
    assert [name for name in os.listdir(Path(home.path) / "partial") if name.endswith((".lock", ".new"))] == []


def _assert_nothing_visible(home: Home) -> None:
    _assert_nothing_half_made(home)
    assert home.images.list() == ()
    with pytest.raises(NotFound):
        home.images.get(NAME)


def test_pull(store: Home) -> None:
    """A pull brings layers, blobs and the name, says what it does, and leaves nothing else behind."""
    source, events = Source([BASE, MIDDLE, TOP]), []
    report = _pull(store, source, watch=events.append)

    assert store.images.get(NAME) == report.image
    assert [
        Path(store.layers.path(layer), name).exists()
        for layer, name in zip(report.image.layers, ("d/base", "middle", "top"), strict=True)
    ] == [True] * 3
    assert report.fetched_bytes == sum(len(blob) for blob in source.blobs.values())
    assert report.image.size_bytes == 5_000_003
    assert (report.up_to_date, report.reused_layers, report.resumed_bytes) == (False, 0, 0)
    assert set(os.listdir(Path(store.path) / "blobs/sha256")) >= set(source.blobs)
    assert isinstance(events[0], PullResolved)
    assert {event.index for event in events if isinstance(event, LayerProgress) and event.phase == Phase.DONE} == {0, 1, 2}
    assert os.listdir(Path(store.path) / "partial") == [".pulling"]
    _assert_nothing_half_made(store)


def test_same_again(store: Home) -> None:
    """What is up to date is not fetched again."""
    source = Source([BASE, TOP])
    _pull(store, source)
    source.fetches.clear()
    report = _pull(store, source)

    assert (report.up_to_date, report.fetched_bytes, report.reused_layers) == (True, 0, 2)
    assert not source.fetches


def test_shared_and_repeated_layers(store: Home) -> None:
    """A layer that any image has, or that one image lists forty times, is fetched once."""
    first = Source([BASE, TOP])
    _pull(store, first)
    second = Source([BASE, *[EMPTY] * 40, MIDDLE], author="somebody else")
    report = _pull(store, second, "example.org/tools/other:1")

    base, empty, middle = (Digest.of(second.blobs_in_order[at]).hex for at in (0, 1, 41))
    assert second.fetches == {empty: 1, middle: 1}
    assert report.reused_layers == 1
    assert len(report.image.layers) == len(report.layers) == 42
    assert base in first.blobs
    assert report.image.size_bytes == 5_000_000


def test_name_moves_to_the_new_image(store: Home) -> None:
    """When a tag stands for another image, the name goes to that; the old one stays without it."""
    old = _pull(store, Source([TOP])).image
    new = _pull(store, Source([MIDDLE])).image

    assert store.images.get(NAME).id == new.id
    assert store.images.get(str(old.id)).names == ()


class Interrupt:
    """Raises KeyboardInterrupt, as Ctrl-C would, when `part` of a layer has been downloaded."""

    def __init__(self, part: float) -> None:
        self._part = part

    def __call__(self, event: object) -> None:
        if (
            isinstance(event, LayerProgress)
            and event.phase == Phase.DOWNLOADING
            and event.done_bytes >= self._part * event.total_bytes
        ):
            raise KeyboardInterrupt


def test_interrupted_pull_goes_on(store: Home) -> None:
    """After Ctrl-C at three quarters nothing is visible, and the next pull fetches only the rest."""
    source = Source([BASE], pause_s=0.02)
    with pytest.raises(KeyboardInterrupt):
        _pull(store, source, watch=Interrupt(0.75))
    _assert_nothing_visible(store)
    source.pause_s = 0
    source.served.clear()
    report = _pull(store, source)

    size = len(source.blobs_in_order[0])
    assert report.resumed_bytes >= 0.75 * size
    assert report.fetched_bytes + report.resumed_bytes == size
    assert sum(source.served.values()) == report.fetched_bytes
    assert report.layers[0].resumed_bytes == report.resumed_bytes


_KILLED = """
import sys
from pathlib import Path
from tests.kernel import test_pull
from pyck_magic.store import Home
from tests.kernel.pull_source import Source
def watch(event):
    if getattr(event, "done_bytes", 0) >= 0.75 * getattr(event, "total_bytes", 1) and event.phase == "downloading":
        print("now", flush=True)
test_pull._pull(Home(Path(sys.argv[1])), Source([test_pull.BASE], pause_s=0.03), watch=watch)
"""


def test_killed_pull_goes_on(tmp_path: Path) -> None:
    """After kill -9 at three quarters its unpackers are gone, nothing is visible, and the next pull fetches only the rest."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), *(path for path in sys.path if path)])}
    victim = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path / "home")], stdout=subprocess.PIPE, cwd=root, env=environment
    )
    assert victim.stdout is not None
    assert victim.stdout.readline() == b"now\n"
    unpackers = _children(victim.pid)
    victim.kill()
    victim.wait()
    assert unpackers
    for pid in unpackers:
        _await_end(pid)
    store, source = Home(tmp_path / "home"), Source([BASE])
    assert store.images.list() == ()
    report = _pull(store, source)

    assert report.resumed_bytes >= 0.75 * len(source.blobs_in_order[0])
    assert sum(source.served.values()) == report.fetched_bytes == len(source.blobs_in_order[0]) - report.resumed_bytes
    store.collect()
    _assert_nothing_half_made(store)


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def _await_end(pid: int) -> None:
    """Return when a process that is not our child has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    import select

    assert select.select([fd], [], [], 30)[0], f"process {pid} is still there"
    os.close(fd)


def test_real_interrupt_while_the_network_hangs(store: Home) -> None:
    """Ctrl-C ends a pull whose download never says anything again; what that download says later is ignored."""
    source, gate = Source([BASE]), Gate()
    source.before = gate
    threading.Thread(target=lambda: (gate.reached.wait(), _thread.interrupt_main(signal.SIGINT))).start()
    with pytest.raises(KeyboardInterrupt):
        _pull(store, source)
    assert not gate.open.is_set()
    _assert_nothing_visible(store)
    before = fingerprint(Path(store.path) / "partial")
    gate.open.set()
    source.before = lambda _hex: None

    assert fingerprint(Path(store.path) / "partial") == before
    assert _pull(store, source).resumed_bytes == 0


@pytest.mark.parametrize("resume", [False, True], ids=["whole", "resumed"])
def test_wrong_bytes(resume: bool, store: Home) -> None:
    """Bytes with another digest are refused and forgotten, and the other layers of that pull are half-made nowhere."""
    source = Source([BASE, MIDDLE])
    key = Digest.of(source.blobs_in_order[0]).hex
    right = source.blobs[key]
    source.blobs[key] = right[:1_500_000] + bytes([right[1_500_000] ^ 1]) + right[1_500_001:]
    if resume:
        (Path(store.path) / "partial" / key).write_bytes(right[:1000])
    with pytest.raises(WrongDigest) as caught:
        _pull(store, source)

    assert caught.value.expected == f"sha256:{key}"
    assert not (Path(store.path) / "partial" / key).exists()
    _assert_nothing_visible(store)


def test_damaged_partial_is_fetched_again(store: Home) -> None:
    """What an earlier pull left may have been damaged since: then the layer is fetched whole, in the same pull."""
    source = Source([BASE])
    key = Digest.of(source.blobs_in_order[0]).hex
    (Path(store.path) / "partial" / key).write_bytes(b"\x1f\x8bnonsense" * 1000)
    report = _pull(store, source)

    assert source.fetches[key] == 2
    assert report.fetched_bytes == len(source.blobs_in_order[0])


@pytest.mark.parametrize("length", [1, 0, -1], ids=["longer", "whole", "one byte short"])
def test_partials_of_odd_lengths(length: int, store: Home) -> None:
    """A partial that is complete, or too long to be true, is no trouble."""
    source = Source([BASE])
    blob = source.blobs_in_order[0]
    content = (blob + b"x")[: len(blob) + length]
    (Path(store.path) / "partial" / Digest.of(blob).hex).write_bytes(content)
    report = _pull(store, source)

    assert report.fetched_bytes == {1: len(blob), 0: 0, -1: 1}[length]


def test_layer_that_was_lost(store: Home) -> None:
    """A layer whose directory is gone is unpacked again from its blob; a lost blob is fetched, and its layer kept."""
    source = Source([BASE, TOP])
    image = _pull(store, source).image
    os.rename(store.layers.path(image.layers[0]), Path(store.path) / "elsewhere")
    source.fetches.clear()
    assert _pull(store, source).fetched_bytes == 0
    assert not source.fetches
    assert Path(store.layers.path(image.layers[0]), "d/base").exists()

    blob = Path(store.path) / "blobs/sha256" / Digest.of(source.blobs_in_order[0]).hex
    blob.unlink()
    assert _pull(store, source).fetched_bytes == len(source.blobs_in_order[0])
    assert blob.read_bytes() == source.blobs_in_order[0]


def test_server_without_ranges(store: Home) -> None:
    """A server that begins at zero again is believed, and all of its bytes are counted as fetched."""
    source = Source([BASE])
    source.ignores_ranges = True
    key = Digest.of(source.blobs_in_order[0]).hex
    (Path(store.path) / "partial" / key).write_bytes(source.blobs[key][:1_000_000])
    report = _pull(store, source)

    assert source.offsets[key] == 1_000_000
    assert (report.resumed_bytes, report.fetched_bytes) == (0, len(source.blobs[key]))


def test_wrong_diff_id(store: Home) -> None:
    """A layer that unpacks to something else than the config says is refused."""
    source = Source([BASE, TOP])
    source.set_config(["sha256:" + "0" * 64, str(Digest.of(TOP))])
    with pytest.raises(WrongDigest):
        _pull(store, source)
    _assert_nothing_visible(store)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_config_that_counts_otherwise(count: int, store: Home) -> None:
    """Fewer or more diff ids than layers are refused before any byte flows."""
    source = Source([BASE, TOP])
    source.set_config([str(Digest.of(BASE))] * count)
    with pytest.raises(BadManifest):
        _pull(store, source)
    assert not source.fetches


def test_one_blob_cannot_be_two_layers(store: Home) -> None:
    """The same blob with two diff ids is a contradiction."""
    source = Source([BASE, BASE])
    source.set_config([str(Digest.of(BASE)), str(Digest.of(TOP))])
    with pytest.raises(BadManifest):
        _pull(store, source)


def test_short_body(store: Home) -> None:
    """A source that claims to be done too early does not make a layer."""
    source = Source([BASE])
    key = Digest.of(source.blobs_in_order[0]).hex
    source.blobs[key] = source.blobs[key][:-1]
    with pytest.raises(BrokenContent):
        _pull(store, source)
    _assert_nothing_visible(store)


def test_hostile_layer_leaves_nothing(store: Home) -> None:
    """A layer that tries to climb out is refused, with what was unpacked before it."""
    source = Source([BASE, file(b"fine", _noise(3, 500_000)) + file(b"../../../canary", b"dead") + END])
    with pytest.raises(BadArchive):
        _pull(store, source)
    _assert_nothing_visible(store)
    assert not (Path(store.path) / "canary").exists()


def test_failure_of_the_source_is_what_is_raised(store: Home) -> None:
    """An error of one download ends the pull with that very error; what has come stays for the next one."""
    source = Source([BASE, MIDDLE])
    failing = Digest.of(source.blobs_in_order[1]).hex

    def fail(key: str) -> None:
        if key == failing:
            raise StoreError("on purpose")

    source.before = fail
    with pytest.raises(StoreError, match="on purpose"):
        _pull(store, source)
    _assert_nothing_visible(store)


def test_two_pulls_at_once(store: Home, tmp_path: Path) -> None:
    """The second of two pulls of the same image waits, says so, and finds everything there: each byte comes once."""
    source, gate, notes, results = Source([BASE, MIDDLE, TOP]), Gate(3), [], []
    source.before = gate
    other = Home(tmp_path / "home")
    threads = [threading.Thread(target=lambda: results.append(_pull(store, source)))]
    threads[0].start()
    gate.reached.wait()
    all_waiting = threading.Event()

    def watch(event: object) -> None:
        if isinstance(event, PullNote):
            notes.append(event.text)
            if len(notes) == 3:
                all_waiting.set()

    threads.append(threading.Thread(target=lambda: results.append(_pull(other, source, watch=watch))))
    threads[1].start()
    assert all_waiting.wait(30), "the second pull did not say that it waits"
    gate.open.set()
    for thread in threads:
        thread.join()

    assert set(source.fetches.values()) == {1}
    assert sorted(report.fetched_bytes for report in results) == [0, sum(len(blob) for blob in source.blobs.values())]
    assert results[0].image == results[1].image
    assert all(note.startswith("waiting for another pull of ") for note in notes)
    _assert_nothing_half_made(store)


def test_nothing_is_leaked(store: Home) -> None:
    """Neither descriptors nor processes stay behind, whether a pull succeeds or fails."""
    _pull(store, Source([TOP]))
    gc.collect()
    children = _children(os.getpid())
    descriptors = len(os.listdir("/proc/self/fd"))
    _pull(store, Source([MIDDLE, TOP]))
    bad = Source([BASE])
    bad.blobs[Digest.of(bad.blobs_in_order[0]).hex] = b"x" * len(bad.blobs_in_order[0])
    with pytest.raises(WrongDigest):
        _pull(store, bad)

    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert set(_children(os.getpid())) <= set(children)


def test_watcher_that_fails(store: Home) -> None:
    """An exception in the watcher ends the pull as an interrupt does."""

    def watch(event: object) -> None:
        if isinstance(event, LayerProgress):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _pull(store, Source([BASE]), watch=watch)
    _assert_nothing_visible(store)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small disk")
def test_full_disk(tmp_path: Path) -> None:
    """A disk that is too small is one clear error with a hint, and the home is as it was."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", disk], check=True)
    try:
        store = Home(disk / "home")
        _pull(store, Source([TOP]))
        before = fingerprint(disk / "home/blobs") | fingerprint(disk / "home/layers") | fingerprint(disk / "home/partial")
        for layers in ([BASE, MIDDLE], [file(b"zeros", bytes(20 << 20)) + END]):
            with pytest.raises(StoreError) as caught:
                _pull(store, Source(layers), "example.org/big:1")
            assert "no space left" in str(caught.value)
            assert "free some space" in caught.value.hint
            assert (
                fingerprint(disk / "home/blobs") | fingerprint(disk / "home/layers") | fingerprint(disk / "home/partial")
                == before
            )
        assert store.images.get(NAME)
        store.close()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_an_image_that_lies_about_a_layer_harms_no_other(store: Home) -> None:
    """A manifest that names a layer which is here, with a wrong diff id, is refused, and what is here stays."""
    honest = Source([BASE])
    image = _pull(store, honest).image
    (blob,) = honest.blobs
    liar = Source([BASE])
    liar.set_config(["sha256:" + "0" * 64])
    with pytest.raises(WrongDigest):
        _pull(store, liar, "example.org/tools/liar:1")
    assert (Path(store.path) / "blobs/sha256" / blob).exists()
    assert store.images.get(str(image.id)) == image


def test_a_mirror_that_serves_damage_gives_way(store: Home) -> None:
    """When a mirror's bytes turn out wrong, they are fetched once more, from somebody else."""
    source = Source([BASE])
    (blob,) = source.blobs
    right = source.blobs[blob]
    source.blobs[blob] = right[:-9] + bytes(9)
    source.has_alternative = True

    def mend(_hex: str) -> None:
        if source.fetches[blob] == 2:
            source.blobs[blob] = right

    source.before = mend
    _pull(store, source)
    assert source.fetches[blob] == 2
