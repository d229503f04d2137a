"""Bring the layers that are missing: downloads on threads, unpacking in processes, one conductor between them.

Runs in: the notebook kernel. The conductor is the caller's thread; the downloads are daemon threads.

A download appends to a partial file, an unpacker reads behind it. Neither waits for the other's pace, so four downloads
keep the network busy while as many unpackers as there are cores work on the layers with most to do.
"""

import contextlib
import os
import queue
import selectors
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from pyck_magic.engine.layer import Layer
from pyck_magic.model.errors import BrokenContent, StoreError, WrongSize
from pyck_magic.model.events import Phase, PullEvent, PullNote
from pyck_magic.model.manifest import Descriptor
from pyck_magic.model.reference import Reference
from pyck_magic.store import Home
from pyck_magic.store.blobs import Partial
from pyck_magic.store.workers import Unpacker, as_error

_DOWNLOADS = 4
_UNPACKERS_MAX = 4
_TELL_EVERY_S = 0.1
_ASK_AGAIN_S = 0.05
_CLEAN_UP_S = 0.1

Watcher = Callable[[PullEvent], None]


class Source(Protocol):
    """What we ask of a registry: stream a blob into a partial file, from where that ends."""

    def fetch_blob(
        self, ref: Reference, descriptor: Descriptor, place: Partial, *, note: Callable[[str], None] | None
    ) -> bool:
        """True if, should the bytes turn out wrong, the next try will have them from somebody else."""


def fetch(home: Home, source: Source, reference: Reference, layers: Sequence[Layer], watch: Watcher) -> None:
    """Return when all layers are in their places, verified. What cannot be resumed is gone when this raises."""
    if layers:
        with _Conductor(home, source, reference, layers, watch) as conductor:
            conductor.conduct()


class _Conductor:
    def __init__(self, home: Home, source: Source, reference: Reference, layers: Sequence[Layer], watch: Watcher) -> None:
        self._home = home
        self._source = source
        self._reference = reference
        self._layers = sorted(layers, key=lambda layer: (-layer.descriptor.size, layer.descriptor.digest.hex))
        self._watch = watch
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._wanted: queue.SimpleQueue[Layer | None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[tuple[Layer, str | Exception]] = queue.SimpleQueue()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._ready: list[Layer] = []
        self._idle: list[Unpacker] = []
        self._unpackers: list[Unpacker] = []
        self._at_work: dict[Unpacker, Layer] = {}
        self._unfinished = len(self._layers)

    def __enter__(self) -> "_Conductor":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> None:
        self._stopping.set()
        for unpacker in self._unpackers:
            unpacker.close()
        with self._mutex:
            for layer in self._layers:
                if layer.partial is not None:
                    layer.partial.stop()
                    if isinstance(error, StoreError) and not layer.resumed_from:
                        layer.partial.discard()  # a full disk is not helped by what we keep
                if layer.turn is not None:
                    layer.turn.give_back()
        for _thread in range(_DOWNLOADS):
            self._wanted.put(None)
        half_made = [layer.into for layer in self._layers if layer.into is not None]
        if half_made:
            self._clean_up(half_made)
        self._selector.close()
        with self._mutex:
            os.close(self._wake_fd)
            self._wake_fd = -1

    def _clean_up(self, directories: list[str]) -> None:
        """Remove half-unpacked layers; after a moment in the background, for nobody likes to wait after Ctrl-C."""
        remover = threading.Thread(target=self._home.layers.discard, args=directories, name="pyck-remover")
        remover.start()
        remover.join(_CLEAN_UP_S)

    def conduct(self) -> None:
        """Hand out work and collect results until nothing is left to do, or something fails."""
        self._selector.register(self._wake_fd, selectors.EVENT_READ)
        for layer in self._layers:
            self._wanted.put(layer)
        for _number in range(min(_DOWNLOADS, len(self._layers))):
            threading.Thread(target=self._download, name="pyck-download", daemon=True).start()
        cores = len(os.sched_getaffinity(0))
        zstd = any("zstd" in layer.descriptor.media_type for layer in self._layers)
        for _number in range(min(len(self._layers), max(2, min(cores, _UNPACKERS_MAX)))):
            unpacker = Unpacker(self._home.layers.unpacking, zstd=zstd)
            self._unpackers.append(unpacker)
            self._idle.append(unpacker)
            self._selector.register(unpacker, selectors.EVENT_READ, unpacker)
        tell_at = 0.0
        while self._unfinished:
            for key, _events in self._selector.select(_TELL_EVERY_S):
                if key.data is not None:
                    self._listen(key.data)
            self._read_news()
            self._feed()
            self._hand_out()
            if time.monotonic() >= tell_at:
                tell_at = time.monotonic() + _TELL_EVERY_S
                for layer in self._layers:
                    self._tell(layer)

    # -- on the caller's thread

    def _read_news(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        with contextlib.suppress(queue.Empty):
            while True:
                layer, news = self._news.get_nowait()
                match news:
                    case Exception():
                        self._fail(layer, news)
                    case "waiting":
                        self._watch(PullNote(f"waiting for another pull of {layer.short}"))
                    case "here":
                        self._finish(layer, Phase.ALREADY_HERE)
                    case "started":
                        self._ready.append(layer)
                        self._enter(layer, Phase.DOWNLOADING)
                    case "complete":
                        layer.complete = True
                        if layer.phase == Phase.DOWNLOADING:
                            self._enter(layer, Phase.UNPACKING if layer.unpack else Phase.VERIFYING)
                    case _:
                        layer.note = news

    def _feed(self) -> None:
        """Answer the unpackers that have read all they knew of."""
        for unpacker, layer in self._at_work.items():
            if layer.hungry_at is not None and layer.partial is not None and layer.partial.arrived > layer.hungry_at:
                layer.hungry_at = None
                unpacker.more(layer.partial.arrived)

    def _hand_out(self) -> None:
        while self._idle and self._ready:
            layer = max(self._ready, key=Layer.urgency)
            self._ready.remove(layer)
            assert layer.partial is not None
            if layer.unpack:
                layer.into = self._home.layers.invent_name()
                self._home.layers.reserve(layer.into)
            unpacker = layer.unpacker = self._idle.pop()
            self._at_work[unpacker] = layer
            unpacker.give(
                layer.partial.fd, size=layer.partial.size, arrived=layer.partial.arrived, digest=layer.descriptor.digest,
                diff_id=layer.diff_id, media_type=layer.descriptor.media_type, into=layer.into,
            )  # fmt: skip

    def _listen(self, unpacker: Unpacker) -> None:
        message = unpacker.receive()
        layer = self._at_work[unpacker]
        match message:
            case {"hungry": int(known)}:
                layer.consumed = layer.hungry_at = known
            case {"consumed": int(known)}:
                layer.consumed = known
            case {"done": {"size_bytes": int(size)}}:
                self._release(unpacker, layer)
                if layer.into is not None:
                    layer.size_bytes = size
                self._commit(layer)
            case {"failed": dict(failed)}:
                self._release(unpacker, layer)
                self._fail(layer, as_error(failed))

    def _release(self, unpacker: Unpacker, layer: Layer) -> None:
        del self._at_work[unpacker]
        layer.unpacker = None
        self._idle.append(unpacker)

    def _commit(self, layer: Layer) -> None:
        assert layer.partial is not None
        layer.resumed_from = layer.partial.resumed_from
        layer.fetched_bytes = layer.descriptor.size - layer.resumed_from
        if layer.into is not None:
            self._home.layers.commit(layer.into, layer.diff_id)
            layer.into = None
        layer.partial.commit()
        self._finish(layer, Phase.DONE)

    def _finish(self, layer: Layer, phase: Phase) -> None:
        if layer.partial is not None:
            layer.partial.stop()
        if layer.turn is not None:
            layer.turn.give_back()
        self._unfinished -= 1
        self._enter(layer, phase)

    def _fail(self, layer: Layer, error: Exception) -> None:
        if layer.partial is not None and isinstance(error, BrokenContent) and layer.is_blamed_by(error):
            layer.partial.discard()
            if layer.is_worth_another_try():
                self._start_over(layer)
                return
        layer.note = str(error)
        self._enter(layer, Phase.FAILED)
        raise error

    def _start_over(self, layer: Layer) -> None:
        """What an earlier pull left, or a mirror serves, is damaged: fetch it all, once."""
        assert layer.partial is not None
        layer.partial.stop()
        if layer.into is not None:
            self._home.layers.discard(layer.into)
        layer.partial = layer.into = layer.hungry_at = None
        layer.again, layer.complete, layer.consumed, layer.resumed_from = True, False, 0, 0
        self._enter(layer, Phase.WAITING)
        self._wanted.put(layer)

    def _enter(self, layer: Layer, phase: Phase) -> None:
        layer.phase = phase
        self._tell(layer)

    def _tell(self, layer: Layer) -> None:
        progress = layer.progress()
        if progress != layer.told:
            layer.told = progress
            self._watch(progress)

    # -- on the threads that download

    def _download(self) -> None:
        while (layer := self._wanted.get()) is not None and not self._stopping.is_set():
            try:
                for news in self._bring(layer):
                    self._post(layer, news)
            except Exception as error:  # carried over to the caller's thread, which raises it
                self._post(layer, error)

    def _bring(self, layer: Layer) -> Iterator[str]:
        """Wait for our turn, then download what is missing. Yields what the conductor must know."""
        digest, size = layer.descriptor.digest, layer.descriptor.size
        turn = layer.turn or self._home.blobs.turn(digest)
        if layer.turn is None and not turn.try_take():
            yield "waiting"
            while not turn.try_take():
                if self._stopping.wait(_ASK_AGAIN_S):
                    return
        with self._mutex:
            if self._stopping.is_set():
                turn.give_back()
                return
            layer.turn = turn
            layer.unpack = not self._home.layers.has(layer.diff_id)
            if not layer.unpack and self._home.blobs.has(digest):
                partial = None
            else:
                partial = layer.partial = self._home.blobs.partial(digest, size)
                layer.resumed_from = partial.resumed_from
        if partial is None:
            yield "here"
            return
        partial.on_arrival = lambda: self._wake() if layer.hungry_at is not None else None
        yield "started"
        if partial.arrived < size:
            layer.has_alternative = self._source.fetch_blob(
                self._reference, layer.descriptor, partial, note=lambda text: self._post(layer, text)
            )
        if partial.arrived != size:
            raise WrongSize(
                f"layer {layer.short} has {partial.arrived} bytes instead of {size}", expected=size, actual=partial.arrived,
                hint="pull again; if it happens again, the registry or a mirror serves broken data",
            )  # fmt: skip
        yield "complete"

    def _post(self, layer: Layer, news: str | Exception) -> None:
        self._news.put((layer, news))
        self._wake()

    def _wake(self) -> None:
        with self._mutex:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)
