"""Images, containers and volumes, as the store remembers them.

Runs in: the notebook kernel.
"""

from datetime import datetime
from typing import Literal, NamedTuple

from pyck_magic.model.config import ImageConfig
from pyck_magic.model.digest import Digest

ContainerStatus = Literal["created", "running", "exited"]


class Image(NamedTuple):
    """An image that is here, whole. Its ID is the digest of its config.

    `names` are familiar references with a tag (`alpine:3.20`), `repo_digests` familiar names with the manifest digest.
    `size_bytes` is what its layers hold, unpacked; `layers` are diff ids, base first.
    """

    id: Digest
    manifest_digest: Digest
    names: tuple[str, ...]
    repo_digests: tuple[str, ...]
    created: datetime | None
    size_bytes: int
    layers: tuple[Digest, ...]
    layer_sizes: tuple[int, ...]
    config: ImageConfig

    @property
    def short_id(self) -> str:
        return self.id.short


class Container(NamedTuple):
    """One container: a run and what it leaves behind. Times are aware UTC datetimes."""

    id: str
    name: str
    image: str
    image_id: Digest
    command: tuple[str, ...]
    created: datetime
    status: ContainerStatus
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    reason: str = ""
    pid: int | None = None
    spec: str = "{}"

    @property
    def short_id(self) -> str:
        return self.id[:12]


class NamedVolume(NamedTuple):
    """A volume: a directory of this machine that outlives every container. `created` is an aware UTC datetime."""

    name: str
    path: str
    created: datetime
