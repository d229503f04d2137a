"""What is remembered of containers, and what is believed when their engine died."""

import fcntl
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import Conflict, NameTaken, NotFound
from pyck_magic.model.records import Container
from pyck_magic.store import Home


@pytest.fixture
def store(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def _container(name: str, **fields: object) -> Container:
    said: dict[str, object] = {
        "id": hashlib.sha256(name.encode()).hexdigest(), "name": name, "image": "blast:1", "image_id": Digest.of(b"image"),
        "command": ("blastp", "-version"), "created": datetime.now(UTC), "status": "created", "spec": '{"some": "thing"}',
    }  # fmt: skip
    return Container(**said | fields)  # type: ignore[arg-type]


def _create(home: Home, name: str, **fields: object) -> Container:
    container = _container(name, **fields)
    (Path(home.path) / "containers" / container.id).mkdir()
    home.containers.create(container)
    return container


def test_comes_back_as_it_was(store: Home) -> None:
    """Everything that is written down of a container comes back, by id, start of id and name, in any process."""
    now = datetime.now(UTC)
    made = _create(store, "one", status="exited", started=now, finished=now, exit_code=3, reason="said no", pid=None)
    for home in (store, Home(store.path)):
        assert home.containers.get(made.id) == home.containers.get(made.short_id) == home.containers.get("one") == made
        assert home.containers.get("/one") == made
        assert home.containers.list() == (made,)


def test_update_and_finish(store: Home) -> None:
    """Changes are kept; those of a removed container are ignored."""
    made = _create(store, "one")
    store.containers.update(made._replace(name="two", status="exited"))
    store.containers.finish(made.id, exit_code=7, reason="because")
    found = store.containers.get("two")

    assert (found.status, found.exit_code, found.reason) == ("exited", 7, "because")
    assert found.finished is not None
    store.containers.remove(made.id)
    store.containers.remove(made.id)
    store.containers.update(made)
    assert store.containers.list() == ()


def test_name_taken(store: Home) -> None:
    """Two containers cannot have one name; the sentence is Docker's."""
    first = _create(store, "one")
    with pytest.raises(NameTaken) as caught:
        store.containers.create(_container("one", id="f" * 64))
    assert str(caught.value) == (
        f'Conflict. The container name "/one" is already in use by container "{first.id}". You have to remove (or rename) '
        "that container to be able to reuse that name."
    )


def test_names_of_what_is_gone_are_free(store: Home) -> None:
    """A container whose folder somebody removed is forgotten, and its name can be had."""
    old = datetime.now(UTC) - timedelta(hours=1)
    made = _create(store, "one", created=old)
    (Path(store.path) / "containers" / made.id).rmdir()
    store.containers.create(_container("one", id="f" * 64))

    assert store.containers.get("one").id == "f" * 64
    gone = _create(store, "two", created=old)
    (Path(store.path) / "containers" / gone.id).rmdir()
    with pytest.raises(NotFound):
        store.containers.get("two")
    assert [one.name for one in store.containers.list()] == ["one"]


def test_ambiguous_and_unknown(store: Home) -> None:
    """The start of several ids, and of none."""
    for name in ("one", "two"):
        _create(store, name, id="ab" + hashlib.sha256(name.encode()).hexdigest()[2:])
    with pytest.raises(Conflict):
        store.containers.get("ab")
    for text in ("zz", "", "three"):
        with pytest.raises(NotFound):
            store.containers.get(text)


def test_running_while_the_lock_is_held(store: Home) -> None:
    """A container runs as long as somebody holds its lock, whoever asks and however often."""
    made = _create(store, "one", status="running")
    with open(Path(store.path) / "containers" / made.id / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for home in (store, Home(store.path), store):
            assert home.containers.get("one").status == "running"
    assert store.containers.get("one").status == "exited"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, (137, "its engine ended")),
        ('{"exit_code": 3, "signal": null, "reason": "", "finished": 1234567890.5}', (3, "")),
        ('{"exit_code": 143, "signal": 15, "reason": "ended by SIGTERM", "finished": 1}', (143, "ended by SIGTERM")),
        ('{"exit_code": ', (137, "its engine ended")),
        ("[]", (137, "its engine ended")),
        ('{"exit_code": "many", "finished": 1}', (137, "its engine ended")),
    ],
)
def test_last_words(said: str | None, expected: tuple[int, str], store: Home) -> None:
    """When nobody holds the lock any more, what the monitor has written is the truth, and else it was killed."""
    made = _create(store, "one", status="running")
    folder = Path(store.path) / "containers" / made.id
    (folder / "lock").touch()
    if said is not None:
        (folder / "exit.json").write_text(said)
    (found,) = store.containers.list()

    assert (found.status, found.exit_code, found.reason) == ("exited", *expected)
    if expected == (3, ""):
        assert found.finished == datetime.fromtimestamp(json.loads(str(said))["finished"], UTC)


def test_newest_first(store: Home) -> None:
    """The list begins with the newest."""
    now = datetime.now(UTC)
    for number, name in enumerate(("a", "b", "c")):
        _create(store, name, created=now + timedelta(seconds=number))
    assert [one.name for one in store.containers.list()] == ["c", "b", "a"]


def test_by_image(store: Home) -> None:
    """Who uses an image, running ones first."""
    _create(store, "stopped", status="exited")
    _create(store, "other", image_id=Digest.of(b"other"))
    running = _create(store, "running", status="running")
    with open(Path(store.path) / "containers" / running.id / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert [one.name for one in store.containers.using(Digest.of(b"image"))] == ["running", "stopped"]
