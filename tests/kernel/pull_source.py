"""A registry that lives in this process and can be told to lie: what `pull` asks of one, and no more."""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from pyck_magic.model.digest import Digest
from pyck_magic.model.manifest import Descriptor, ImageConfig, Manifest
from tests.kernel.unpack_archives import GZIP, gzipped


class Source:
    """Serves one image made of `layers` (plain tars). `blobs` may be changed after it was made: then it lies."""

    def __init__(self, layers: Sequence[bytes], *, author: str = "", chunk: int = 1 << 16, pause_s: float = 0.0) -> None:
        self.chunk, self.pause_s = chunk, pause_s
        self.blobs: dict[str, bytes] = {}
        self.fetches: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self.offsets: dict[str, int] = {}
        self.ignores_ranges = self.has_alternative = False
        self.before: Callable[[str], None] = lambda _hex: None
        self.blobs_in_order = [gzipped(layer) for layer in layers]
        described = []
        for blob in self.blobs_in_order:
            digest = Digest.of(blob)
            self.blobs[digest.hex] = blob
            described.append(Descriptor(media_type=GZIP, digest=digest, size=len(blob)))
        diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
        self.set_config(diff_ids, author)
        self.descriptors = tuple(described)

    def set_config(self, diff_ids: list[str], author: str = "") -> None:
        self.config_bytes = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "author": author,
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }
        ).encode()

    def resolve(self, reference: object, _platform: object) -> Any:
        config = Descriptor(
            media_type="application/vnd.oci.image.config.v1+json",
            digest=Digest.of(self.config_bytes),
            size=len(self.config_bytes),
        )
        manifest_bytes = json.dumps(
            {"config": str(config.digest), "layers": [str(one.digest) for one in self.descriptors]}
        ).encode()
        return SimpleNamespace(
            reference=reference, digest=Digest.of(manifest_bytes), index_digest=None,
            manifest=Manifest(media_type="application/vnd.oci.image.manifest.v1+json", config=config, layers=self.descriptors),
            manifest_bytes=manifest_bytes, config=ImageConfig.parse(self.config_bytes), config_bytes=self.config_bytes,
            served_by="this test",
        )  # fmt: skip

    def fetch_blob(self, _reference: object, descriptor: Descriptor, place: Any, *, note: object = None) -> bool:
        key = descriptor.digest.hex
        self.fetches[key] += 1
        self.offsets[key] = place.offset
        self.before(key)
        if self.ignores_ranges and place.offset:
            place.restart()
        content = self.blobs[key]
        for at in range(place.offset, len(content), self.chunk):
            piece = content[at : at + self.chunk]
            place.write(piece)
            self.served[key] += len(piece)
            if self.pause_s:
                time.sleep(self.pause_s)
        return self.has_alternative


class Gate:
    """Something downloads wait at until the test lets them go on; `reached` when so many of them are there."""

    def __init__(self, downloads: int = 1) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self._expected = threading.Semaphore(downloads - 1)

    def __call__(self, _hex: str) -> None:
        if not self._expected.acquire(blocking=False):
            self.reached.set()
        self.open.wait()
