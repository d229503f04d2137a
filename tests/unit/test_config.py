"""Configs of images from publishers that mean no good.

Runs in:    pytest.
"""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pyck_magic.model.config import HistoryEntry, ImageConfig
from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BadManifest, PyckError
from pyck_magic.model.platform import Platform

LAYER = "sha256:" + "0123456789abcdef" * 4


def config(**fields: object) -> dict[str, Any]:
    """The least that a config must have, with these fields. None is written as null."""
    return {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [LAYER]}, **fields}


def read(document: object) -> ImageConfig:
    return ImageConfig.parse(json.dumps(document).encode())


WHOLE = config(
    variant="v1",
    created="2026-01-02T03:04:05.123456789Z",
    author="somebody",
    config={
        "Env": ["PATH=/bin", "EMPTY="],
        "User": "1000:1000",
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["echo hello"],
        "WorkingDir": "/work",
        "Volumes": {"/data": {}, "/more": None},
        "Labels": {"org.opencontainers.image.title": "a <b>title</b>"},
        "StopSignal": "SIGINT",
        "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["NONE"]},
    },
    history=[
        {"created": "2026-01-02T05:04:05+02:00", "created_by": "COPY . /", "comment": "buildkit", "author": "me"},
        {"created_by": "CMD", "empty_layer": True},
    ],
)


def test_a_whole_config_is_read() -> None:
    """Every field comes out as it was served, times in UTC, and the document itself byte by byte."""
    data = json.dumps(WHOLE, indent=3).encode()
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert ImageConfig.parse(data) == ImageConfig(
        architecture="amd64", os="linux", variant="v1", created=when.replace(microsecond=123456), env=("PATH=/bin", "EMPTY="),
        user="1000:1000", entrypoint=("/bin/sh", "-c"), cmd=("echo hello",), working_dir="/work", volumes=("/data", "/more"),
        labels={"org.opencontainers.image.title": "a <b>title</b>"}, stop_signal="SIGINT", exposed_ports=("80/tcp",),
        diff_ids=(Digest.parse(LAYER),), raw=data,
        history=(HistoryEntry(when, "COPY . /", "buildkit", "me", False), HistoryEntry(None, "CMD", "", "", True)),
    )  # fmt: skip
    assert ImageConfig.parse(data).platform.normal == Platform.parse("linux/amd64")


@pytest.mark.parametrize(
    "document",
    [
        config(),
        config(config={}, history=[]),
        config(config=None, history=None, created=None, variant=None),
        config(config=dict.fromkeys(WHOLE["config"]), created="", os="linux"),
    ],
)
def test_what_is_not_said_is_empty(document: dict[str, Any]) -> None:
    """As in Go, null is as good as missing."""
    found = read(document)
    assert (found.env, found.entrypoint, found.cmd, found.volumes, found.exposed_ports, found.history) == ((),) * 6
    assert (found.variant, found.user, found.working_dir, found.stop_signal, found.labels) == ("", "", "", "", {})
    assert found.created is None


def test_an_image_may_have_no_layers() -> None:
    """Without layers there need be no diff_ids, while the history says so too."""
    assert read(config(rootfs={"type": "layers"})).diff_ids == ()
    assert read(config(rootfs={"type": "layers"}, history=[{"empty_layer": True}])).diff_ids == ()
    with pytest.raises(BadManifest, match=r"rootfs\.diff_ids is missing"):
        read(config(rootfs={"type": "layers", "diff_ids": None}, history=[{}]))


def test_a_lone_string_is_a_list_of_one() -> None:
    """As Docker reads ENTRYPOINT and CMD of very old images."""
    found = read(config(config={"Entrypoint": "/bin/sh", "Cmd": "-i"}))
    assert (found.entrypoint, found.cmd) == (("/bin/sh",), ("-i",))


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05-07:30", datetime(2026, 1, 2, 10, 34, 5, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_times(text: str, when: datetime | None) -> None:
    """Every time is in UTC, and Go's zero time is none."""
    assert read(config(created=text)).created == when


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "config.rootfs.type is not layers"),
        (config(rootfs=None), "config.rootfs.type is not layers"),
        (config(rootfs=[]), "config.rootfs is not an object: list"),
        (config(rootfs={"type": "tar", "diff_ids": [LAYER]}), "config.rootfs.type is not layers"),
        (config(rootfs={"type": ["layers"]}), "config.rootfs.type is not a string: list"),
        (config(rootfs={"type": "layers", "diff_ids": {}}), "config.rootfs.diff_ids is not a list: dict"),
        (config(rootfs={"type": "layers", "diff_ids": [None]}), "config.rootfs.diff_ids[0] is not a string: missing"),
        (config(rootfs={"type": "layers", "diff_ids": [LAYER, "../../etc"]}), "'../../etc' is no digest"),
        (config(rootfs={"type": "layers", "diff_ids": ["sha256:../" + "0" * 61]}), "is no SHA-256 digest"),
        (config(rootfs={"type": "layers", "diff_ids": ["sha512:" + "0" * 128]}), "'sha512' digests are not supported"),
        (config(architecture=None), "config.architecture is not a string: missing"),
        (config(architecture="\x1b[2J"), "config.architecture is not a plain word: '\\x1b[2J'"),
        (config(os="lınux"), "config.os is not a plain word: 'l\\u0131nux'"),
        (config(os=7), "config.os is not a string: 7"),
        (config(variant="v" * 65), "config.variant is not a plain word"),
        (config(created="yesterday"), "config.created is not a time: 'yesterday'"),
        (config(created="2026-02-30T00:00:00Z"), "config.created is not a time"),
        (config(created="9999-12-31T23:59:59-23:59"), "config.created is not a time"),
        (config(created=0), "config.created is not a string: 0"),
        (config(config=[]), "config.config is not an object: list"),
        (config(config={"Env": {"A": "1"}}), "config.config.Env is not a list: dict"),
        (config(config={"Env": ["A=1", 2]}), "config.config.Env[1] is not a string: 2"),
        (config(config={"Env": ["A=\0"]}), "config.config.Env[0] contains a NUL character"),
        (config(config={"Cmd": [["sh"]]}), "config.config.Cmd[0] is not a string: list"),
        (config(config={"Entrypoint": False}), "config.config.Entrypoint is not a list: False"),
        (config(config={"User": 0}), "config.config.User is not a string: 0"),
        (config(config={"WorkingDir": "/a\0/b"}), "config.config.WorkingDir contains a NUL character"),
        (config(config={"Volumes": ["/data"]}), "config.config.Volumes is not an object: list"),
        (config(config={"Volumes": {"/a\0": {}}}), "config.config.Volumes contains a NUL character"),
        (config(config={"Labels": {"a": 1}}), "config.config.Labels is not a string: 1"),
        (config(config={"ExposedPorts": "80"}), "config.config.ExposedPorts is not an object: '80'"),
        (config(config={"StopSignal": 9}), "config.config.StopSignal is not a string: 9"),
        (config(history={}), "config.history is not a list: dict"),
        (config(history=["RUN"]), "config.history[0] is not an object: 'RUN'"),
        (config(history=[{}, {"empty_layer": "yes"}]), "config.history[1].empty_layer is not a boolean: 'yes'"),
        (config(history=[{"created": "x"}]), "config.history[0].created is not a time: 'x'"),
        ([], "the config is no JSON object"),
    ],
)  # fmt: skip
def test_a_hostile_config_is_refused(document: object, message: str) -> None:
    """It says what is wrong and where, without anything that could draw on a screen."""
    with pytest.raises(BadManifest) as caught:
        read(document)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b", b"[" * 100_000, b'{"a":' * 100_000, b"{}".ljust((4 << 20) + 1)], ids=len)
def test_what_is_no_json_is_refused(data: bytes) -> None:
    """So is what nests without end or is larger than 4 MiB."""
    with pytest.raises(BadManifest, match="the config is"):
        ImageConfig.parse(data)


letters = some.text(max_size=6) | some.sampled_from(["\0", "\ud800", "\x1b[2J", "sha256:", "0001-01-01"])
leaves = some.none() | some.booleans() | some.integers() | some.floats() | letters | some.just(1 << 70)
values = some.recursive(leaves, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(letters, inner, max_size=3))
anything = some.binary() | values.map(lambda value: json.dumps(value).encode())


@some.composite
def damaged(draw: some.DrawFn, document: dict[str, Any]) -> bytes:
    """The document with up to three of its values, wherever in it, replaced by others."""
    broken = copy.deepcopy(document)
    for _ in range(draw(some.integers(0, 3))):
        place: Any = broken
        while True:
            where = draw(some.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            if not isinstance(place[where], dict | list) or not place[where] or draw(some.booleans()):
                break
            place = place[where]
        place[where] = draw(values)
    return json.dumps(broken).encode()


@settings(deadline=None, max_examples=300)
@given(damaged(WHOLE) | anything)
def test_whatever_comes_is_understood_or_refused(data: bytes) -> None:
    """Nothing but our own errors comes out, in words that can be shown, and what was understood can be written down."""
    try:
        found = ImageConfig.parse(data)
    except PyckError as error:
        assert str(error).isprintable()
        return
    assert found.raw == data
    assert "\0" not in "".join((*found.env, *found.entrypoint, *found.cmd, found.user, found.working_dir, *found.volumes))
    json.dumps(found, ensure_ascii=False, default=str).encode()
    assert found.platform.normal.runs(found.platform)
