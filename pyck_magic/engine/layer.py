"""One layer while it is being pulled, and how far it has come.

Runs in: the notebook kernel. The conductor of `fetching` changes it, the thread that downloads it reports.
"""

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BrokenContent
from pyck_magic.model.events import LayerProgress, Phase
from pyck_magic.model.manifest import Descriptor
from pyck_magic.store.blobs import Partial, Turn
from pyck_magic.store.workers import Unpacker

_WORTH_STARTING = 1 << 16


class Layer:
    """One blob on its way to being a layer. `indexes` are its places in the manifest."""

    def __init__(self, descriptor: Descriptor, diff_id: Digest) -> None:
        self.descriptor = descriptor
        self.diff_id = diff_id
        self.indexes: list[int] = []
        self.phase = Phase.WAITING
        self.turn: Turn | None = None
        self.partial: Partial | None = None
        self.unpacker: Unpacker | None = None
        self.unpack = True
        self.into: str | None = None
        self.hungry_at: int | None = None
        self.consumed = 0
        self.complete = False
        self.again = self.has_alternative = False
        self.note = ""
        self.resumed_from = 0
        self.fetched_bytes = 0
        self.size_bytes: int | None = None
        self.told: LayerProgress | None = None

    @property
    def short(self) -> str:
        return self.descriptor.digest.short

    def urgency(self) -> tuple[bool, int]:
        """The biggest one first, so that no core is idle in the end; but none that would have an unpacker wait."""
        return self.complete or (self.partial is not None and self.partial.arrived >= _WORTH_STARTING), self.descriptor.size

    def is_blamed_by(self, error: BrokenContent) -> bool:
        """Are our bytes the wrong ones? Of a blob that was here only if its digest is: the image may lie about what is in it."""
        return self.partial is not None and (not self.partial.is_whole or error.expected == str(self.descriptor.digest))

    def is_worth_another_try(self) -> bool:
        """Would the same bytes come again? Not if part of them was here before, or they came from a mirror."""
        return self.partial is not None and not self.again and (self.partial.was_begun or self.has_alternative)

    def progress(self) -> LayerProgress:
        total = self.descriptor.size
        done = {Phase.WAITING: 0, Phase.DOWNLOADING: self.partial.offset if self.partial else 0}.get(self.phase, total)
        if self.phase in (Phase.UNPACKING, Phase.VERIFYING):
            done = self.consumed
        return LayerProgress(self.indexes[0], self.short, self.phase, done, total, self.resumed_from, self.note)
