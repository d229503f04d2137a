"""From records to typed tables and Docker's JSON.

Runs in:    pytest.
"""

import json
from datetime import UTC, datetime

import pytest

from pyck_magic.commands.inspecting import describe_container, describe_image
from pyck_magic.commands.tables import containers_table, history_table, image_json, images_table
from pyck_magic.model.digest import Digest
from pyck_magic.model.manifest import ImageConfig
from pyck_magic.model.records import Container, Image

THEN = datetime(2024, 5, 1, 10, 30, tzinfo=UTC)
LAYERS = tuple(Digest.of(name) for name in (b"base", b"top"))


def image(names: tuple[str, ...] = (), digests: tuple[str, ...] = (), history: object = None) -> Image:
    """An image of two layers, of 1000 and 200 bytes."""
    document = {
        "architecture": "amd64", "os": "linux", "created": "2024-05-01T10:30:00Z",
        "config": {"Cmd": ["sh"], "Env": ["A=1"], "OnBuild": None},
        "rootfs": {"type": "layers", "diff_ids": [str(layer) for layer in LAYERS]},
        "history": [
            {"created": "2024-05-01T10:00:00Z", "created_by": "ADD base"},
            {"created": "2024-05-01T10:10:00Z", "created_by": "CMD sh", "empty_layer": True},
            {"created": "2024-05-01T10:30:00Z", "created_by": "RUN make", "comment": "last"},
        ] if history is None else history,
    }  # fmt: skip
    raw = json.dumps(document).encode()
    return Image(
        id=Digest.of(raw), manifest_digest=Digest.of(b"manifest"), names=names, repo_digests=digests, created=THEN,
        size_bytes=1200, layers=LAYERS, layer_sizes=(1000, 200), config=ImageConfig.parse(raw),
    )  # fmt: skip


SOME_DIGEST = f"sha256:{'1' * 64}"


def test_every_name_of_an_image_has_a_row() -> None:
    """With numbers and times, not with their pictures."""
    one = image(("alpine:3", "host:5000/team/alpine:latest"), (f"alpine@{SOME_DIGEST}",))
    table = images_table([one], digests=True)
    assert table.columns == ("repository", "tag", "digest", "image_id", "created", "size")
    assert table.rows == (
        ("alpine", "3", SOME_DIGEST, one.short_id, THEN, 1200),
        ("host:5000/team/alpine", "latest", "<none>", one.short_id, THEN, 1200),
    )
    assert images_table([one], full=True).dicts()[0]["image_id"] == str(one.id)


def test_images_without_a_name_are_listed_too() -> None:
    """Pulled by digest, or left behind by a newer one of their name."""
    assert images_table([image()]).rows[0][:2] == ("<none>", "<none>")
    assert images_table([image((), (f"alpine@{SOME_DIGEST}",))]).rows[0][:2] == ("alpine", "<none>")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("alpine", 2), ("alpine:3", 1), ("docker.io/library/alpine:3", 1), ("alp*", 2), ("alpine:[34]", 2), ("alpine:5", 0),
        ("host:5000/alpine", 1), ("host:5000", 0),
    ],
)  # fmt: skip
def test_a_repository_chooses(wanted: str, found: int) -> None:
    """As the operand of docker images, patterns included; a port is no tag."""
    assert len(images_table([image(("alpine:3", "alpine:4", "host:5000/alpine:3"))], wanted=wanted).rows) == found


def test_history_has_the_newest_on_top_and_sizes_where_they_belong() -> None:
    """An entry without a layer has none."""
    one = image()
    assert [(row[0], row[2], row[3], row[4]) for row in history_table(one).rows] == [
        (one.short_id, "RUN make", 200, "last"), ("<missing>", "CMD sh", 0, ""), ("<missing>", "ADD base", 1000, ""),
    ]  # fmt: skip


def test_history_shows_every_layer_even_without_a_history() -> None:
    """Tools that squash images write none."""
    assert [row[3] for row in history_table(image(history=[])).rows] == [200, 1000]


def test_inspect_has_the_images_own_config() -> None:
    """Word for word, fields we know nothing of included."""
    one = image(("alpine:3",))
    document = describe_image(one)
    assert document["Config"] == {"Cmd": ["sh"], "Env": ["A=1"], "OnBuild": None}
    assert document["RepoTags"] == ["alpine:3"] and document["Created"] == "2024-05-01T10:30:00Z"
    assert document["RootFS"] == {"Type": "layers", "Layers": [str(layer) for layer in LAYERS]}


def test_json_lines_have_dockers_keys() -> None:
    """With Docker's spelling of sizes and moments."""
    row = json.loads(image_json(images_table([image(("alpine:3",))], digests=True).dicts()[0]))
    assert (row["Repository"], row["Tag"], row["Size"]) == ("alpine", "3", "1.2kB")
    assert row["CreatedAt"] == "2024-05-01 10:30:00 +0000 UTC"


def test_containers_have_typed_columns() -> None:
    """What the STATUS of Docker mixes is apart: state, code, times."""
    one = Container(
        id="ab" * 32, name="calm_crick", image="alpine:3", image_id=LAYERS[0], command=("sh", "-c", "exit 3"), created=THEN,
        status="exited", started=THEN, finished=THEN, exit_code=3,
    )  # fmt: skip
    assert containers_table([one]).dicts() == [{
        "container_id": "abababababab", "image": "alpine:3", "command": "sh -c exit 3", "created": THEN, "status": "exited",
        "exit_code": 3, "started": THEN, "finished": THEN, "names": "calm_crick",
    }]  # fmt: skip
    document = describe_container(one._replace(finished=None))
    assert document["Name"] == "/calm_crick"
    assert document["State"]["FinishedAt"] == "0001-01-01T00:00:00Z"  # type: ignore[index]
