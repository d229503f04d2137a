"""What a pull tells whoever watches it.

Runs in: the notebook kernel, on worker threads: a watcher must be quick and must not print.
"""

from dataclasses import dataclass
from enum import Enum


class Phase(str, Enum):
    """Where a layer is on its way. The values are what people read."""

    WAITING = "waiting"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    UNPACKING = "unpacking"
    ALREADY_HERE = "already here"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PullResolved:
    """The name has been resolved: from now on it is known which layers are needed.

    `layers` are (12-character id of the blob digest, compressed size in bytes), base layer first.
    """

    reference: str
    digest: str
    platform: str
    layers: tuple[tuple[str, int], ...]
    served_by: str


@dataclass(frozen=True, slots=True)
class LayerProgress:
    """One layer moved. `done_bytes` of `total_bytes` are compressed bytes; `note` carries a mirror, a retry, a failure."""

    index: int
    layer: str
    phase: Phase
    done_bytes: int
    total_bytes: int
    resumed_from: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class PullNote:
    """Something worth a line that is about no single layer, such as waiting for another notebook's pull."""

    text: str


PullEvent = PullResolved | LayerProgress | PullNote
