"""Blobs on their way: continued, tried again, taken from elsewhere."""

from dataclasses import dataclass, field

import pytest

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import NoSuchImage, PyckError, RateLimited, RegistryError, RegistryUnreachable, WrongSize
from pyck_magic.model.manifest import Descriptor
from pyck_magic.model.platform import Platform
from pyck_magic.model.reference import Reference
from pyck_magic.registry import Registry
from pyck_magic.registry.patience import retry_after
from pyck_magic.registry.settings import RegistrySettings
from tests.registry.lying import (
    Fault,
    Handler,
    LyingRegistry,
    body,
    digest_of,
    dropped,
    ended_early,
    redirect,
    stalled,
    status,
)

BLOB = bytes(range(256)) * 12_000
BLOBS = "/blobs/"


@dataclass
class Place:
    """A blob in memory, as `pull` keeps it on disk."""

    content: bytearray = field(default_factory=bytearray)
    restarts: int = 0

    @property
    def offset(self) -> int:
        return len(self.content)

    def write(self, chunk: bytes) -> None:
        self.content += chunk

    def restart(self) -> None:
        self.content.clear()
        self.restarts += 1


def fetch(client: Registry, lying: LyingRegistry, place: Place, *, size: int = len(BLOB), notes: list[str] | None = None) -> None:
    digest = Digest.parse(lying.add_blob(BLOB))
    descriptor = Descriptor(media_type="application/vnd.oci.image.layer.v1.tar", digest=digest, size=size)
    note = notes.append if notes is not None else None
    client.fetch_blob(Reference.parse(f"{lying.address}/tool"), descriptor, place, note=note)


def ranges(lying: LyingRegistry) -> list[str]:
    return [one.headers.get("range", "") for one in lying.requests(BLOBS)]


def test_what_is_there_is_not_fetched_again(client: Registry, lying: LyingRegistry) -> None:
    """A download goes on at the byte where it ended."""
    place = Place(bytearray(BLOB[:1000]))
    fetch(client, lying, place)
    assert (bytes(place.content), ranges(lying), place.restarts) == (BLOB, ["bytes=1000-"], 0)


def test_dropped_connections_are_taken_up(client: Registry, lying: LyingRegistry, pauses: list[float]) -> None:
    """A connection that breaks costs no byte twice, and the pauses grow until there is progress."""
    for at in (100, 200, 2_000_000):
        lying.fault(BLOBS, dropped(BLOB, at), times=1)
    place, notes = Place(), list[str]()
    fetch(client, lying, place, notes=notes)
    assert (bytes(place.content), place.restarts) == (BLOB, 0)
    assert ranges(lying) == ["", "bytes=100-", "bytes=200-", "bytes=2000000-"]
    assert 0.3 < pauses[0] < pauses[1] and pauses[2] < pauses[1]
    assert all("the connection broke; trying again in" in note for note in notes)


def _wrong_range(handler: Handler) -> None:
    handler.answer(206, BLOB[500:], content_range=f"bytes 500-{len(BLOB) - 1}/{len(BLOB)}")


@pytest.mark.parametrize(
    "fault", [body(BLOB), _wrong_range, status(206, BLOB[:9]), status(416)], ids=["ignored", "wrong", "unsaid", "416"]
)
def test_bad_answers_to_ranges_mean_all_of_it(fault: Fault, client: Registry, lying: LyingRegistry, pauses: list[float]) -> None:
    """A server that ignores ranges, or answers another one, has its say from the first byte."""
    lying.fault(BLOBS, fault, times=1)
    place = Place(bytearray(BLOB[:1000]))
    fetch(client, lying, place)
    assert (bytes(place.content), place.restarts) == (BLOB, 1)


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_a_busy_registry_is_asked_again(code: int, client: Registry, lying: LyingRegistry, pauses: list[float]) -> None:
    """As it asks for, with Retry-After, or after pauses that grow."""
    lying.fault(BLOBS, status(code, retry_after="7"), times=1)
    lying.fault(BLOBS, status(code), times=2)
    place = Place()
    fetch(client, lying, place)
    assert bytes(place.content) == BLOB
    assert pauses[0] == 7 and pauses[1] < pauses[2] < 3


@pytest.mark.parametrize(("code", "expected"), [(429, RateLimited), (503, RegistryError)])
def test_patience_ends(
    code: int, expected: type[PyckError], client: Registry, lying: LyingRegistry, pauses: list[float]
) -> None:
    """After five tries the error is raised, with a hint."""
    lying.fault(BLOBS, status(code, b'{"errors": [{"code": "TOOMANY", "message": "slow\\u001b[31m down"}]}'))
    with pytest.raises(expected) as caught:
        fetch(client, lying, Place())
    assert len(lying.requests(BLOBS)) == 5 and len(pauses) == 4
    assert "slow\\x1b[31m down" in str(caught.value) and caught.value.hint


def test_nobody_waits_an_hour(client: Registry, lying: LyingRegistry, pauses: list[float]) -> None:
    """A registry that asks for more than a minute gets the last word at once."""
    lying.fault(BLOBS, status(429, retry_after="3600"))
    with pytest.raises(RateLimited, match="too many requests"):
        fetch(client, lying, Place())
    assert pauses == []


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0.0), ("12", 12.0), ("9" * 30, 999999999.0), ("soon", None), (None, None), ("-1", None)]
)
def test_retry_after_is_read(text: str | None, expected: float | None) -> None:
    """Seconds as they are; anything else but a date counts as nothing said."""
    assert retry_after(text) == expected


def test_retry_after_may_be_a_date() -> None:
    """A moment that has passed is now; a far one is far."""
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert (retry_after("Fri, 21 Oct 2133 07:28:00 GMT") or 0) > 1e9


def test_a_body_that_ends_too_soon_is_taken_up(client: Registry, lying: LyingRegistry, pauses: list[float]) -> None:
    """Also when nothing said how long it should have been."""
    lying.fault(BLOBS, ended_early(BLOB, 5000), times=1)
    place = Place()
    fetch(client, lying, place)
    assert bytes(place.content) == BLOB and ranges(lying) == ["", "bytes=5000-"]


@pytest.mark.parametrize("fault", [None, body(BLOB, content_length=str(len(BLOB))), ended_early(BLOB, len(BLOB))])
def test_another_length_is_refused(fault: Fault | None, client: Registry, lying: LyingRegistry) -> None:
    """More bytes than the manifest says are never written, whether the length was announced or not."""
    if fault:
        lying.fault(BLOBS, fault)
    place = Place()
    with pytest.raises(WrongSize):
        fetch(client, lying, place, size=1000)
    assert place.offset <= 1000


def test_a_missing_blob_is_an_error_at_once(client: Registry, lying: LyingRegistry, pauses: list[float]) -> None:
    """What is not there will not come by waiting."""
    lying.fault(BLOBS, status(404))
    with pytest.raises(NoSuchImage):
        fetch(client, lying, Place())
    assert pauses == []


@pytest.mark.usefixtures("pauses")
def test_a_stalled_server_is_left(client: Registry, lying: LyingRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends nothing for too long is asked again. We cannot wait for the real thirty seconds."""
    monkeypatch.setattr("pyck_magic.registry.wire._TIMEOUT", 0.2)
    lying.fault(BLOBS, stalled, times=1)
    place = Place()
    fetch(client, lying, place)
    assert bytes(place.content) == BLOB


def test_redirects_keep_the_range(client: Registry, lying: LyingRegistry) -> None:
    """Registries send us to where their blobs lie; there too we go on where we ended."""
    with LyingRegistry() as storage:
        storage.add_blob(BLOB)
        lying.fault(BLOBS, redirect(storage.url))
        place = Place(bytearray(BLOB[:1000]))
        fetch(client, lying, place)
        assert bytes(place.content) == BLOB and ranges(storage) == ["bytes=1000-"]


# -- mirrors


def mirrored(*mirrors: str) -> RegistrySettings:
    return RegistrySettings(mirrors={"registry.example": mirrors})


def with_origin(origin: LyingRegistry, *mirrors: str) -> RegistrySettings:
    return RegistrySettings(mirrors={origin.address: mirrors})


def test_a_mirror_serves_in_place_of_the_registry(lying: LyingRegistry) -> None:
    """The registry itself, which cannot be reached, is not asked."""
    lying.add_image("latest")
    with Registry(mirrored(lying.url)) as client:
        found = client.resolve(Reference.parse("registry.example/tool"), Platform("linux", "amd64"))
    assert found.served_by == lying.address


@pytest.mark.parametrize("code", [404, 401, 400])
def test_a_mirror_that_fails_gives_way(code: int, lying: LyingRegistry) -> None:
    """Whatever a mirror lacks or breaks, the registry has the last word, and so has an address where nobody is."""
    lying.add_image("latest")
    with LyingRegistry() as mirror:
        mirror.fault("/v2/", status(code))
        with Registry(with_origin(lying, "127.0.0.1:9", mirror.url)) as client:
            found = client.resolve(Reference.parse(f"{lying.address}/tool"), Platform("linux", "amd64"))
    assert found.served_by == lying.address


def test_a_download_goes_on_at_another_endpoint(lying: LyingRegistry, pauses: list[float]) -> None:
    """When a mirror breaks off for good, the registry serves the rest, and only that."""
    with LyingRegistry() as mirror:
        mirror.fault(BLOBS, dropped(BLOB, 1000), times=1)
        mirror.fault(BLOBS, status(404))
        place, notes = Place(), list[str]()
        with Registry(with_origin(lying, mirror.url)) as client:
            fetch(client, lying, place, notes=notes)
    assert bytes(place.content) == BLOB and ranges(lying) == ["bytes=1000-"]
    assert notes[0] == f"from {mirror.address}" and f"now from {lying.address}" in notes[-1]


def test_a_registry_that_is_gone(client: Registry) -> None:
    """Nobody there: one clear error with a hint, without waiting."""
    with pytest.raises(RegistryUnreachable, match=r"cannot reach 127\.0\.0\.1:9: Connection refused") as caught:
        client.resolve(Reference.parse("127.0.0.1:9/tool"), Platform("linux", "amd64"))
    assert caught.value.hint
    assert digest_of(b"") not in str(caught.value)
