"""What an image says about itself: its config, the document whose digest is the image's ID.

Runs in: the notebook kernel. The format is that of the OCI image specification (config.md), which is Docker's.
"""

from datetime import datetime
from typing import NamedTuple

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BadManifest
from pyck_magic.model.platform import Platform
from pyck_magic.model.untrusted import Fields


class HistoryEntry(NamedTuple):
    """One step of how an image was made. An `empty_layer` step made no layer."""

    created: datetime | None
    created_by: str
    comment: str
    author: str
    empty_layer: bool


class ImageConfig(NamedTuple):
    """A config that has been checked. All text in it is the publisher's: it may hold HTML and control characters.

    `diff_ids` are the layers, base first; `raw` the document as it was served, byte by byte.
    """

    architecture: str
    os: str
    variant: str
    created: datetime | None
    env: tuple[str, ...]
    user: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    working_dir: str
    volumes: tuple[str, ...]
    labels: dict[str, str]
    stop_signal: str
    exposed_ports: tuple[str, ...]
    diff_ids: tuple[Digest, ...]
    history: tuple[HistoryEntry, ...]
    raw: bytes

    @classmethod
    def parse(cls, data: bytes) -> "ImageConfig":
        """Read a config. Raises BadManifest for what breaks the specification."""
        document = Fields.of_document(data, "config")
        run, rootfs = document.inner("config"), document.inner("rootfs")
        if rootfs.text("type", "") != "layers":
            raise BadManifest("config.rootfs.type is not layers", expected="layers", actual=rootfs.text("type", "missing")[:60])
        if "diff_ids" not in rootfs and any(not entry.flag("empty_layer") for entry in document.each("history")):
            raise BadManifest("config.rootfs.diff_ids is missing")
        return cls(
            architecture=document.word("architecture"),
            os=document.word("os"),
            variant=document.word("variant", ""),
            created=document.moment("created"),
            env=run.texts("Env"),
            user=run.text("User", ""),
            entrypoint=run.texts("Entrypoint"),
            cmd=run.texts("Cmd"),
            working_dir=run.text("WorkingDir", ""),
            volumes=run.keys("Volumes"),
            labels=run.table("Labels"),
            stop_signal=run.text("StopSignal", ""),
            exposed_ports=run.keys("ExposedPorts"),
            diff_ids=tuple(Digest.parse(text) for text in rootfs.texts("diff_ids")),
            history=tuple(_step(entry) for entry in document.each("history")),
            raw=data,
        )

    @property
    def platform(self) -> Platform:
        """What the image's programs were built for."""
        return Platform(self.os, self.architecture, self.variant)


def _step(entry: Fields) -> HistoryEntry:
    return HistoryEntry(
        created=entry.moment("created"),
        created_by=entry.text("created_by", ""),
        comment=entry.text("comment", ""),
        author=entry.text("author", ""),
        empty_layer=entry.flag("empty_layer"),
    )
