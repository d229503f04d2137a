"""Names, ids and removal of images. Layers are empty directories here: what is in them is tested elsewhere."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pyck_magic.engine.images import Images
from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import Conflict, NotFound, StoreError
from pyck_magic.model.manifest import ImageConfig
from pyck_magic.model.records import Container, Image
from pyck_magic.model.reference import Reference
from pyck_magic.store import Home, default_path


def _digest(text: str) -> Digest:
    return Digest.parse("sha256:" + hashlib.sha256(text.encode()).hexdigest())


@pytest.fixture
def store(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def _add(home: Home, name: str, *layers: str, index: str | None = None, variant: str = "") -> Image:
    """Put an image in the home as a pull would, with a blob and an empty directory for each layer."""
    diff_ids = [_digest(f"layer {layer}") for layer in layers]
    raw = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "author": variant or " ".join(layers),
            "created": "2026-01-02T03:04:05Z",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(one) for one in diff_ids]},
        }
    ).encode()
    config = ImageConfig.parse(raw)
    manifest = json.dumps({"of": str(Digest.of(raw))}).encode()
    blobs = [Digest.of(raw), Digest.of(manifest)]
    home.blobs.put(blobs[0], raw)
    home.blobs.put(blobs[1], manifest)
    for layer, diff_id in zip(layers, diff_ids, strict=True):
        content = f"blob of {layer}".encode()
        home.blobs.put(Digest.of(content), content)
        blobs.append(Digest.of(content))
        os.makedirs(home.layers.path(diff_id), exist_ok=True)
    return home.images.add(
        Reference.parse(name), manifest_digest=blobs[1], index_digest=_digest(index) if index else None, config=config,
        config_digest=blobs[0], layer_sizes=[10 * (number + 1) for number in range(len(layers))], blobs=blobs,
    )  # fmt: skip


def _use(home: Home, image: Image, name: str, *, status: str = "exited") -> Container:
    container = Container(
        id=hashlib.sha256(name.encode()).hexdigest(), name=name, image=str(image.id), image_id=image.id, command=("true",),
        created=datetime.now(UTC), status=status,
    )  # type: ignore[arg-type]  # fmt: skip
    (Path(home.path) / "containers" / container.id).mkdir()
    home.containers.create(container)
    return container


def test_what_is_kept(store: Home) -> None:
    """An image comes back as it was added: names in Docker's short form, sizes summed, config parsed."""
    image = _add(store, "blast:2.14", "a", "b", index="the index")

    assert image.names == ("blast:2.14",)
    assert image.repo_digests == (f"blast@{_digest('the index')}",)
    assert (image.size_bytes, image.layer_sizes) == (30, (10, 20))
    assert image.config.created == image.created == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert store.images.list() == (image,)
    assert Home(store.path).images.list() == (image,)


@pytest.mark.parametrize(
    "text", ["blast:2.14", "docker.io/library/blast:2.14", "docker.io/blast:2.14", "index.docker.io/library/blast:2.14"]
)
def test_names(text: str, store: Home) -> None:
    """Every spelling of a name finds the image."""
    image = _add(store, "blast:2.14", "a")
    assert store.images.get(text) == image


def test_ids_and_digests(store: Home) -> None:
    """Ids with and without `sha256:`, short ones, and name@digest of index and of manifest find the image."""
    image = _add(store, "blast:2.14", "a", index="the index")
    _add(store, "other:1", "b")
    for text in (
        str(image.id), image.id.hex, image.short_id, f"sha256:{image.id.hex[:20]}", f"blast@{_digest('the index')}",
        f"blast@{image.manifest_digest}", f"blast:whatever@{image.manifest_digest}",
    ):  # fmt: skip
        assert store.images.get(text) == image, text
    for text in ("blast", "blast:2", f"other@{image.manifest_digest}", "sha256:" + "0" * 64, "0" * 64):
        with pytest.raises(NotFound):
            store.images.get(text)


def test_start_of_several_ids(store: Home) -> None:
    """The start of an id is enough while only one image begins so."""
    images = [_add(store, f"i{number}:1", "a", variant=str(number)) for number in range(20)]
    starts = [image.id.hex[0] for image in images]
    ambiguous = next(start for start in starts if starts.count(start) > 1)
    with pytest.raises(Conflict):
        store.images.get(ambiguous)
    for image in images:
        assert store.images.get(image.short_id) == image


def test_name_goes_before_id(store: Home) -> None:
    """What could be both is a name."""
    first = _add(store, "x:1", "a")
    named = _add(store, f"{first.short_id}:latest", "b")
    assert store.images.get(first.short_id) == named


def test_other_platform_is_not_found(store: Home) -> None:
    """An image of another machine does not answer for the wanted one."""
    image = _add(store, "x:1", "a")
    assert store.images.get("x:1", platform="linux/amd64") == image
    with pytest.raises(NotFound, match="linux/amd64"):
        store.images.get("x:1", platform="linux/arm64")


def test_remove(store: Home) -> None:
    """The last name takes the image along, with Docker's lines, topmost layer first; shared layers stay."""
    _add(store, "base:1", "a")
    image = _add(store, "top:1", "a", "b", "c")
    lines = Images(store).remove("top:1")

    assert lines == (
        "Untagged: top:1",
        f"Untagged: top@{image.manifest_digest}",
        f"Deleted: {image.id}",
        f"Deleted: {_digest('layer c')}",
        f"Deleted: {_digest('layer b')}",
    )
    assert sorted(os.listdir(Path(store.path) / "layers/sha256")) == [_digest("layer a").hex]
    assert len(os.listdir(Path(store.path) / "blobs/sha256")) == 3
    assert os.listdir(Path(store.path) / "trash") == []
    Images(store).remove("base:1")
    assert os.listdir(Path(store.path) / "layers/sha256") == os.listdir(Path(store.path) / "blobs/sha256") == []


def test_one_of_several_names(store: Home) -> None:
    """While other names are left only the name goes, and the digests that were its repository's."""
    image = _add(store, "one:1", "a")
    store.images.tag(image.id, Reference.parse("one:2"))
    store.images.tag(image.id, Reference.parse("two:1"))

    assert Images(store).remove("one:1") == ("Untagged: one:1",)
    assert Images(store).remove("one:2") == ("Untagged: one:2", f"Untagged: one@{image.manifest_digest}")
    assert store.images.get("two:1").id == image.id
    assert Images(store).remove("two:1")[-1].startswith("Deleted: ")


def test_by_id_with_names_in_several_repositories(store: Home) -> None:
    """By its id an image with several names is removed only by force."""
    image = _add(store, "one:1", "a")
    store.images.tag(image.id, Reference.parse("two:1"))
    with pytest.raises(Conflict) as caught:
        Images(store).remove(image.short_id)
    assert str(caught.value) == (
        f"conflict: unable to delete {image.short_id} (must be forced) - image is referenced in multiple repositories"
    )
    assert len(Images(store).remove(image.short_id, force=True)) == 5
    assert store.images.list() == ()


def test_used_by_a_stopped_container(store: Home) -> None:
    """An image that a stopped container was made from stays, unless forced."""
    image = _add(store, "one:1", "a")
    container = _use(store, image, "user")
    with pytest.raises(Conflict) as caught:
        Images(store).remove(image.short_id)
    assert str(caught.value) == (
        f"conflict: unable to delete {image.short_id} (must be forced) - image is being used by stopped container "
        f"{container.short_id}"
    )
    with pytest.raises(Conflict, match=r"unable to remove repository reference \"one:1\" \(must force\)"):
        Images(store).remove("one:1")
    assert store.images.get("one:1") == image
    assert Images(store).remove("one:1", force=True)[0] == "Untagged: one:1"


def test_used_by_a_running_container(store: Home) -> None:
    """An image in use by a running container stays even if forced; by force it loses its name."""
    import fcntl

    image = _add(store, "one:1", "a")
    container = _use(store, image, "user", status="running")
    with open(Path(store.path) / "containers" / container.id / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Conflict) as caught:
            Images(store).remove(image.short_id, force=True)
        assert str(caught.value) == (
            f"conflict: unable to delete {image.short_id} (cannot be forced) - image is being used by running container "
            f"{container.short_id}"
        )
        lines = Images(store).remove("one:1", force=True)

        assert all(line.startswith("Untagged: ") for line in lines)
        assert store.images.get(str(image.id)).names == ()
    assert os.path.isdir(store.layers.path(image.layers[0]))


def test_nothing_is_collected_during_a_pull(store: Home) -> None:
    """While anybody pulls, layers stay, because the pull may count on them; afterwards they go."""
    _add(store, "one:1", "a")
    with store.pulling():
        Images(store).remove("one:1")
        assert len(os.listdir(Path(store.path) / "layers/sha256")) == 1
    assert store.collect()
    assert os.listdir(Path(store.path) / "layers/sha256") == []


def test_home_is_for_its_owner_only(store: Home) -> None:
    """Nobody else can look into a home (CVE-2021-41091)."""
    assert os.stat(store.path).st_mode & 0o077 == 0


def test_where_a_home_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PYCK_HOME, else XDG_DATA_HOME/pyck, else what the platform says."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == str(tmp_path / "pyck")
    monkeypatch.setenv("PYCK_HOME", str(tmp_path / "chosen"))
    assert default_path() == str(tmp_path / "chosen")
    monkeypatch.delenv("PYCK_HOME")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert os.path.basename(default_path()) == "pyck"


def test_damaged_database(store: Home) -> None:
    """A damaged or foreign database is one clear error with a hint."""
    store.close()
    path = Path(store.path) / "state.db"
    for leftover in Path(store.path).glob("state.db-*"):
        leftover.unlink()
    for content in (b"this is no database at all" * 100, b""):
        path.write_bytes(content)
        if content:
            with pytest.raises(StoreError) as caught:
                Home(store.path)
            assert caught.value.hint
    other = Home(store.path)
    other._database.rows("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StoreError, match="another version"):
        Home(store.path)


def test_home_that_cannot_be(tmp_path: Path) -> None:
    """A file in the home's place, or a place that cannot be written, is one clear error with a hint."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/pyck")):
        with pytest.raises(StoreError) as caught:
            Home(path)
        assert caught.value.hint
