"""Layers with their real owners, for ordinary users with a range of subordinate ids (`--userns range`).

Runs in: the notebook kernel, or the `pyck` command.

Only inside a user namespace may such a user give files away, and only inside it may they be removed again. So a layer
is unpacked once more, from the blob that is kept, by an unpacker that lives in one.
"""

import contextlib
import os

from pyck_magic.engine.runs import _ranges
from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import NotPossibleHere, StoreError
from pyck_magic.model.manifest import Descriptor, Manifest, parse_document
from pyck_magic.model.records import Image
from pyck_magic.store import Home
from pyck_magic.store.workers import Unpacker, as_error


def ensure_range_layers(home: Home, image: Image) -> None:
    """Have the image's layers with their real owners in their places. Nothing is downloaded.

    Raises NotPossibleHere without a range of ids, StoreError when a blob is missing.
    """
    if all(home.layers.has(diff_id, "range") for diff_id in image.layers):
        return
    manifest = parse_document(home.blobs.read(image.manifest_digest), None)
    if not isinstance(manifest, Manifest):
        raise StoreError(f"the manifest of {image.short_id} is damaged", hint="pull the image again")
    zstd = any("zstd" in descriptor.media_type for descriptor in manifest.layers)
    with home.pulling(), contextlib.closing(Unpacker(home.layers.unpacking, zstd=zstd, ids=_ranges())) as unpacker:
        for descriptor, diff_id in zip(manifest.layers, image.layers, strict=True):
            if not home.layers.has(diff_id, "range"):
                _unpack(home, unpacker, descriptor, diff_id)


def remove_what_only_the_range_may(home: Home) -> None:
    """Empty the trash of layers whose files belong to subordinate ids."""
    try:
        unpacker = Unpacker(home.trash_folder, zstd=False, ids=_ranges())
    except NotPossibleHere:
        return
    with contextlib.closing(unpacker):
        for name in home.trash():
            unpacker.remove(name)
            unpacker.receive()


def _unpack(home: Home, unpacker: Unpacker, descriptor: Descriptor, diff_id: Digest) -> None:
    name = home.layers.invent_name()
    home.layers.reserve(name)
    try:
        blob_fd = os.open(home.blobs.path(descriptor.digest), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(f"blob {descriptor.digest.short} is missing", hint="pull the image again") from error
    try:
        unpacker.give(
            blob_fd, size=descriptor.size, arrived=descriptor.size, digest=descriptor.digest, diff_id=diff_id,
            media_type=descriptor.media_type, into=name,
        )  # fmt: skip
        while True:
            match unpacker.receive():
                case {"done": _}:
                    home.layers.commit(name, diff_id, "range")
                    return
                case {"failed": dict(failed)}:
                    raise as_error(failed)
    finally:
        os.close(blob_fd)
