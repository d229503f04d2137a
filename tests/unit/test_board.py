"""The pull board: what is shown, when, and that nothing in it comes from a stranger as HTML."""

import threading
import time
from html.parser import HTMLParser

import pytest

from pyck_magic.model.events import LayerProgress, Phase, PullNote, PullResolved
from pyck_magic.widgets import board
from pyck_magic.widgets.board import Board

EVIL = '<img src=x onerror="alert(1)">&\x1b[2J'
MB = 1_000_000


class Screen:
    """Remembers what was shown."""

    def __init__(self) -> None:
        self.live: list[str] = []
        self.final: list[tuple[str, str]] = []

    def show_live(self, html: str) -> None:
        self.live.append(html)

    def show_final(self, html: str, text: str) -> None:
        self.final.append((html, text))


class Balanced(HTMLParser):
    """Collects tags, attributes and text, and fails on what is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event is drawn: what is shown is tested here, when is tested apart."""
    monkeypatch.setattr(board, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(board, "_DRAW_S", 0.0)


def resolved(*sizes: int, name: str = "registry.example/app") -> PullResolved:
    layers = tuple((f"{number:012x}", size) for number, size in enumerate(sizes))
    return PullResolved(name, "sha256:" + "a" * 64, "linux/amd64", layers, "registry.example")


def progress(index: int, phase: Phase, done: int, total: int, **more: object) -> LayerProgress:
    return LayerProgress(index, f"{index:012x}", phase, done, total, **more)  # type: ignore[arg-type]


def test_each_layer_has_its_bar_id_phase_and_bytes() -> None:
    """One row a layer; the bar says to a screen reader what it shows."""
    screen = Screen()
    with Board("app", screen) as watching:
        watching(resolved(100 * MB, 10 * MB))
        watching(progress(0, Phase.DOWNLOADING, 25 * MB, 100 * MB))
        watching(progress(1, Phase.ALREADY_HERE, 0, 10 * MB))
    shown = Balanced(screen.live[-1])
    bars = [attributes for _, attributes in shown.seen if attributes.get("role") == "progressbar"]

    assert [bar["aria-valuenow"] for bar in bars] == ["25", "100"]
    assert bars[0]["aria-label"] == "layer 000000000000: downloading"
    for words in ("000000000000", "downloading", "25 MB / 100 MB", "already here"):
        assert words in shown.text


def test_the_end_is_static_and_adds_up() -> None:
    """Digest, bytes that came, bytes from before, layers that were here: as HTML and as text."""
    screen = Screen()
    with Board("app", screen) as watching:
        watching(resolved(100 * MB, 10 * MB))
        watching(progress(0, Phase.DOWNLOADING, 60 * MB, 100 * MB, resumed_from=60 * MB))
        watching(progress(0, Phase.DONE, 100 * MB, 100 * MB))
        watching(progress(1, Phase.ALREADY_HERE, 0, 10 * MB))
    html, text = screen.final[0]

    for shown in (Balanced(html).text, text):
        assert "40 MB fetched, 1 of 2 layers were already here, 60 MB from an earlier attempt" in shown
        assert "sha256:" + "a" * 64 in shown
    assert "<script" not in html and "http" not in html


def test_what_was_interrupted_says_what_is_kept() -> None:
    """The board does not claim success."""
    screen = Screen()
    with pytest.raises(KeyboardInterrupt), Board("app", screen) as watching:
        watching(resolved(100 * MB))
        watching(progress(0, Phase.DOWNLOADING, 30 * MB, 100 * MB))
        raise KeyboardInterrupt

    assert "was not pulled" in screen.final[0][1]
    assert "30 MB are kept" in screen.final[0][1]


def test_strangers_write_no_html() -> None:
    """Names, notes and ids are text, in every view, and speak to no terminal."""
    screen = Screen()
    with Board(EVIL, screen) as watching:
        watching(PullResolved(EVIL, EVIL, EVIL, ((EVIL, MB),), EVIL))
        watching(PullNote(EVIL))
        watching(LayerProgress(0, EVIL, Phase.DOWNLOADING, 1, MB, note=EVIL))
    for html in (screen.live[-1], screen.final[0][0]):
        assert not [tag for tag, _ in Balanced(html).seen if tag == "img"]
    assert "\x1b" not in screen.final[0][1]


def test_many_layers_are_folded() -> None:
    """Of a hundred layers those that move are shown, and how many others there are."""
    screen = Screen()
    with Board("app", screen) as watching:
        watching(resolved(*[MB] * 100))
        for number in range(40):
            watching(progress(number, Phase.DONE, MB, MB))
        watching(progress(70, Phase.DOWNLOADING, MB // 2, MB))
    shown = Balanced(screen.live[-1])

    assert len([1 for _, attributes in shown.seen if attributes.get("role") == "progressbar"]) == 16
    assert f"{70:012x}" in shown.text
    assert "… 84 more" in shown.text


def test_only_the_thread_of_the_cell_draws() -> None:
    """An event from a worker thread is noted, and seen with the next one from the cell's own."""
    screen = Screen()
    with Board("app", screen) as watching:
        watching(resolved(MB))
        before = len(screen.live)
        worker = threading.Thread(target=watching, args=(progress(0, Phase.DOWNLOADING, MB // 2, MB),))
        worker.start()
        worker.join()
        assert len(screen.live) == before
        watching(PullNote("hello"))

    assert "500 kB / 1 MB" in Balanced(screen.live[-1]).text


def test_quick_pulls_show_nothing_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 0.3 s have passed only the result is shown; after that, at most eight times a second."""
    monkeypatch.undo()
    screen = Screen()
    with Board("app", screen) as quick:
        quick(resolved(MB))
        quick(progress(0, Phase.DONE, MB, MB))
    assert (screen.live, len(screen.final)) == ([], 1)

    began = time.monotonic()
    with Board("app", screen) as slow:
        slow(resolved(MB))
        while time.monotonic() < began + 0.8:
            slow(progress(0, Phase.DOWNLOADING, 1, MB))
    assert 1 <= len(screen.live) <= 8 * (time.monotonic() - began) + 1


def test_a_pull_that_found_nothing_leaves_nothing() -> None:
    """An unknown image is an error, and no empty board beside it."""
    screen = Screen()
    with pytest.raises(ValueError, match="no"), Board("app", screen):
        raise ValueError("no")

    assert (screen.live, screen.final) == ([], [])
