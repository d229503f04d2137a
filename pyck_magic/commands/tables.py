"""From records to tables with typed values, and to Docker's JSON lines.

Runs in: the notebook kernel, or the `pyck` command.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pyck_magic.commands import draw
from pyck_magic.commands.answers import Table

if TYPE_CHECKING:
    from pyck_magic.model.records import Container, Image

NOTHING = "<none>"


def images_table(images: "Sequence[Image]", *, wanted: str = "", digests: bool = False, full: bool = False) -> Table:
    """One row a name; an image without one still has its row. `wanted` is Docker's REPOSITORY[:TAG], patterns allowed."""
    rows = []
    for image in images:
        image_id = str(image.id) if full else image.short_id
        for repository, tag, digest in _named(image):
            if _matches(wanted, repository, tag):
                names = (repository, tag, digest) if digests else (repository, tag)
                rows.append((*names, image_id, image.created, image.size_bytes))
    names = ("repository", "tag", "digest") if digests else ("repository", "tag")
    return Table(kind="images", columns=(*names, "image_id", "created", "size"), rows=tuple(rows), key="image_id", full=full)


def _named(image: "Image") -> Iterator[tuple[str, str, str]]:
    """(repository, tag, digest) of every row an image has in the list."""
    digest_of = dict(name.rsplit("@", 1) for name in image.repo_digests)
    tagged = [_split(name) for name in image.names]
    for repository, tag in tagged:
        yield repository, tag, digest_of.get(repository, NOTHING)
    for repository in digest_of.keys() - {repository for repository, _ in tagged}:
        yield repository, NOTHING, digest_of[repository]
    if not tagged and not digest_of:
        yield NOTHING, NOTHING, NOTHING


def _split(name: str) -> tuple[str, str]:
    """Repository and tag: `localhost:5000/tiny` has no tag, `tiny:1` has one."""
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "")


def _matches(wanted: str, repository: str, tag: str) -> bool:
    if not wanted:
        return True
    from fnmatch import fnmatchcase

    for prefix in ("docker.io/library/", "docker.io/"):
        wanted = wanted.removeprefix(prefix)
    pattern, wanted_tag = _split(wanted)
    return fnmatchcase(repository, pattern) and (not wanted_tag or fnmatchcase(tag, wanted_tag))


def containers_table(containers: "Sequence[Container]", *, full: bool = False) -> Table:
    """One row a container."""
    rows = tuple(
        (
            one.id if full else one.short_id, one.image, " ".join(one.command), one.created, one.status, one.exit_code,
            one.started, one.finished, one.name,
        )
        for one in containers
    )  # fmt: skip
    columns = ("container_id", "image", "command", "created", "status", "exit_code", "started", "finished", "names")
    return Table(kind="containers", columns=columns, rows=rows, key="container_id", full=full)


def history_table(image: "Image", *, full: bool = False) -> Table:
    """How an image came about, newest first. Sizes are known of the entries that made a layer."""
    sizes = list(image.layer_sizes)
    entries: list[tuple[datetime | None, str, int, str]] = []
    for entry in image.config.history:
        size = 0 if entry.empty_layer or not sizes else sizes.pop(0)
        entries.append((entry.created, entry.created_by, size, entry.comment))
    # A history may be missing or too short: the layers are there all the same.
    entries += [(None, "", size, "") for size in sizes]
    own = str(image.id) if full else image.short_id
    rows = tuple(
        (own if number == 0 else "<missing>", created, created_by, size, comment)
        for number, (created, created_by, size, comment) in enumerate(reversed(entries))
    )
    columns = ("image", "created", "created_by", "size", "comment")
    return Table(kind="history", columns=columns, rows=rows, key="image", full=full)


def image_json(row: Mapping[str, Any]) -> str:
    """One image as `docker images --format json` writes it."""
    return json.dumps({
        "CreatedAt": _moment(row["created"]), "CreatedSince": draw.ago(row["created"], datetime.now(UTC)),
        "Digest": row["digest"], "ID": row["image_id"], "Repository": row["repository"],
        "Size": draw.human_size(row["size"]), "Tag": row["tag"],
    })  # fmt: skip


def container_json(row: Mapping[str, Any], *, full: bool = False) -> str:
    """One container as `docker ps --format json` writes it."""
    now = datetime.now(UTC)
    return json.dumps({
        "Command": quoted(row["command"], full=full), "CreatedAt": _moment(row["created"]), "ID": row["container_id"],
        "Image": row["image"], "Names": row["names"], "Ports": "", "RunningFor": draw.ago(row["created"], now),
        "State": row["status"],
        "Status": draw.status(row["status"], row["exit_code"], row["started"], row["finished"], now),
    })  # fmt: skip


def quoted(command: str, *, full: bool) -> str:
    """A command as `docker ps` has it: in quotes, twenty characters of it unless all is wanted."""
    return json.dumps(command if full else draw.shortened(command, 20), ensure_ascii=False)


def _moment(when: datetime | None) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S %z} {when.tzname()}" if when is not None else "N/A"
