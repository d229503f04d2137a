"""Layers for `--userns range`: real owners inside an ordinary user's subordinate ids."""

import os
import stat
from pathlib import Path

import pytest

from pyck_magic.engine.runs import _ranges
from pyck_magic.linux import trees
from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import NotPossibleHere
from pyck_magic.store.workers import Unpacker
from tests.kernel.unpack_archives import END, PLAIN, directory, file, header


def test_owners_inside_the_range(tmp_path: Path) -> None:
    """Files get the ids of the range, and only an unpacker in the same range can remove them again."""
    if os.geteuid() == 0:
        pytest.skip("is about ordinary users")
    try:
        ids = _ranges()
    except NotPossibleHere as error:
        pytest.skip(str(error))
    archive = (
        directory(b"d", 0o700, uid=33, gid=33)
        + file(b"d/f", b"x", mode=0o4711, uid=1, gid=2)
        + header(b"null", b"3", major=1, minor=3)
        + END
    )
    blob = tmp_path / "blob"
    blob.write_bytes(archive)
    layer = tmp_path / "unpacking" / "layer"
    layer.mkdir(parents=True)
    unpacker = Unpacker(str(layer.parent), zstd=False, ids=ids)
    try:
        with open(blob, "rb") as opened:
            unpacker.give(
                opened.fileno(), size=len(archive), arrived=len(archive), digest=Digest.of(archive), diff_id=Digest.of(archive),
                media_type=PLAIN, into="layer",
            )  # fmt: skip
            answer = unpacker.receive()
        first = ids[0][1][1]
        status = (layer / "d").lstat()

        assert "done" in answer
        assert status.st_uid == first + 32
        assert stat.S_IMODE(status.st_mode) == 0o700
        assert os.listdir(layer) == ["d"]
        with pytest.raises(PermissionError):
            trees.remove(str(layer))
        unpacker.remove("layer")
        assert "done" in unpacker.receive()
        assert not layer.exists()
    finally:
        unpacker.close()
