"""Proving who we are, and to whom not to."""

import base64
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import PyckError, RegistryError, Unauthorized
from pyck_magic.model.manifest import Descriptor
from pyck_magic.model.platform import Platform
from pyck_magic.model.reference import Reference
from pyck_magic.registry import Registry
from pyck_magic.registry.challenge import Challenge, challenges
from tests.registry.lying import Asked, Fault, Handler, LyingRegistry, body, endless, error, redirect, status
from tests.registry.test_download import BLOB, Place

SECRET = "hunter2-swordfish"
BASIC = "Basic " + base64.b64encode(f"ann:{SECRET}".encode()).decode()


def log_in(*registries: str, **entry: str) -> None:
    """Credentials as `docker login` leaves them."""
    folder = Path(os.environ["DOCKER_CONFIG"])
    folder.mkdir(exist_ok=True)
    entry = entry or {"auth": BASIC.removeprefix("Basic ")}
    (folder / "config.json").write_text(json.dumps({"auths": dict.fromkeys(registries, entry)}))


def resolve(client: Registry, lying: LyingRegistry) -> None:
    lying.add_image("latest")
    client.resolve(Reference.parse(f"{lying.address}/tool"), Platform("linux", "amd64"))


def asks_for(lying: LyingRegistry, wanted: Callable[[str], bool], challenge: str) -> None:
    """Have every honest answer depend on the Authorization header."""

    def guard(handler: Handler) -> bool:
        if wanted(handler.headers.get("Authorization", "")):
            return True
        handler.answer(401, error("UNAUTHORIZED", "authentication required"), www_authenticate=challenge)
        return False

    lying.guard = guard


def bearer(lying: LyingRegistry, realm: str, **parameters: str) -> None:
    """Have the registry want the token `granted`."""
    words = "".join(f',{name}="{value}"' for name, value in {"service": "test", **parameters}.items())
    asks_for(lying, lambda said: said == "Bearer granted", f'Bearer realm="{realm}"{words}')


def grants(lying: LyingRegistry, answer: object = None) -> str:
    """Have it grant tokens too; returns the realm."""
    lying.fault("/token", body(json.dumps(answer or {"token": "granted"}).encode()))
    return f"{lying.url}/token"


def test_basic_credentials_are_used(client: Registry, lying: LyingRegistry) -> None:
    """Those of this registry, and only after it has asked."""
    log_in(lying.address)
    asks_for(lying, lambda said: said == BASIC, 'Basic realm="Registry"')
    resolve(client, lying)
    assert [one.headers.get("authorization") for one in lying.asked] == [None, BASIC, BASIC]


@pytest.mark.parametrize("challenge", ["", "Negotiate", 'Basic realm="Registry"', "Bearer", "\x7f;;=,", 'Digest realm="x"'])
def test_without_credentials_the_registry_has_its_say(challenge: str, client: Registry, lying: LyingRegistry) -> None:
    """Docker's sentence and a hint, whatever the challenge looks like."""
    asks_for(lying, lambda _said: False, challenge)
    with pytest.raises(Unauthorized) as caught:
        resolve(client, lying)
    assert caught.value.hint or "Bearer" in challenge


def test_refused_credentials_are_named(client: Registry, lying: LyingRegistry) -> None:
    """The error says whose, and never what they are."""
    log_in(lying.address)
    asks_for(lying, lambda _said: False, 'Basic realm="Registry"')
    with pytest.raises(Unauthorized) as caught:
        resolve(client, lying)
    assert lying.address in caught.value.hint
    assert SECRET not in f"{caught.value!r} {caught.value.hint}" and len(lying.asked) == 2


def test_a_damaged_keyring_is_the_hint(client: Registry, lying: LyingRegistry) -> None:
    """Whoever is refused for want of credentials learns that config.json could not be read."""
    log_in(lying.address)
    (Path(os.environ["DOCKER_CONFIG"]) / "config.json").write_text("{broken")
    asks_for(lying, lambda _said: False, 'Basic realm="Registry"')
    with pytest.raises(Unauthorized) as caught:
        resolve(client, lying)
    assert "config.json" in caught.value.hint


def test_a_token_is_fetched_once(client: Registry, lying: LyingRegistry) -> None:
    """The token dance: anonymously, for reading this repository, and the token serves all that follows."""
    bearer(lying, grants(lying), scope="repository:tool:pull")
    resolve(client, lying)
    (asked,) = lying.requests("/token")
    assert parse_qs(urlsplit(asked.path).query) == {"service": ["test"], "scope": ["repository:tool:pull"]}
    assert "authorization" not in asked.headers


def test_a_token_server_gets_the_credentials(client: Registry, lying: LyingRegistry) -> None:
    """Then the token is for ourselves."""
    log_in(lying.address)
    bearer(lying, grants(lying, {"access_token": "granted"}))
    resolve(client, lying)
    assert lying.requests("/token")[0].headers["authorization"] == BASIC


def test_an_identity_token_is_exchanged(client: Registry, lying: LyingRegistry) -> None:
    """What credential helpers of clouds give is sent by POST, as OAuth2 has it."""
    log_in(lying.address, identitytoken="refresh-me")
    bearer(lying, grants(lying))
    resolve(client, lying)
    (asked,) = lying.requests("/token")
    form = parse_qs(asked.body.decode())
    assert (asked.method, form["grant_type"], form["refresh_token"]) == ("POST", ["refresh_token"], ["refresh-me"])


@pytest.mark.parametrize("scope", ["repository:tool:pull,push", "registry:catalog:*", "repository:a:pull repository:b:pull"])
def test_nobody_talks_us_into_more_than_reading(scope: str, client: Registry, lying: LyingRegistry) -> None:
    """Whatever scope a registry names, we ask for reading one repository."""
    bearer(lying, grants(lying), scope=scope)
    resolve(client, lying)
    assert parse_qs(urlsplit(lying.requests("/token")[0].path).query)["scope"] == ["repository:tool:pull"]


def test_a_token_that_expires_is_renewed(client: Registry, lying: LyingRegistry) -> None:
    """In the middle of a pull too; the four downloads fetch one between them."""
    valid = ["one"]
    asks_for(lying, lambda said: said == f"Bearer {valid[-1]}", f'Bearer realm="{lying.url}/token",service="test"')
    lying.fault("/token", lambda handler: handler.answer(200, json.dumps({"token": valid[-1]}).encode()))
    resolve(client, lying)
    valid.append("two")
    descriptor = Descriptor(media_type="layer", digest=Digest.parse(lying.add_blob(BLOB)), size=len(BLOB))
    places = [Place() for _number in range(4)]
    reference = Reference.parse(f"{lying.address}/tool")
    threads = [threading.Thread(target=client.fetch_blob, args=(reference, descriptor, place)) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(bytes(place.content) == BLOB for place in places)
    assert len(lying.requests("/token")) == 2


@pytest.mark.parametrize(
    "answer",
    [
        body(b"<html>"), body(b'{"token": ""}'), body(b"{}"), body(b'{"token": "a\\r\\nX-Evil: 1"}'), body(b'{"token": 7}'),
        endless, status(404), status(401), redirect("file:///etc/shadow"),
    ],
)  # fmt: skip
def test_bad_token_servers_are_one_clear_error(answer: Fault, client: Registry, lying: LyingRegistry) -> None:
    """Whatever comes instead of a token is no token, in bounded time."""
    lying.fault("/token", answer)
    bearer(lying, f"{lying.url}/token")
    with pytest.raises(RegistryError):
        resolve(client, lying)


@pytest.mark.parametrize("realm", ["file:///etc/passwd", "http://169.254.169.254/token", "", "http://", "ftp://x/", "http://u:p@h/"])
def test_bad_realms_are_not_spoken_to(realm: str, client: Registry, lying: LyingRegistry) -> None:
    """CVE-2020-15157 and its relatives: nobody sends us to our own files, to clouds' secrets, or to nowhere."""
    log_in(lying.address)
    bearer(lying, realm)
    with pytest.raises(PyckError):
        resolve(client, lying)
    assert all("authorization" not in one.headers for one in lying.asked)


def test_credentials_do_not_follow_redirects(client: Registry, lying: LyingRegistry) -> None:
    """GHSA-vh4v-2xq2-g5cg: another port is another host. The control: the registry itself got them."""
    log_in(lying.address)
    asks_for(lying, lambda said: said == BASIC, 'Basic realm="Registry"')
    with LyingRegistry() as elsewhere:
        elsewhere.add_blob(BLOB)
        descriptor = Descriptor(media_type="layer", digest=Digest.parse(lying.add_blob(BLOB)), size=len(BLOB))
        lying.guard = _redirecting(elsewhere)
        place = Place()
        client.fetch_blob(Reference.parse(f"{lying.address}/tool"), descriptor, place)
        assert bytes(place.content) == BLOB
        assert [one.headers.get("authorization") for one in lying.asked] == [None, BASIC]
        assert [_secretive(one) for one in elsewhere.asked] == [True]


def _redirecting(elsewhere: LyingRegistry) -> Callable[[Handler], bool]:
    def guard(handler: Handler) -> bool:
        if handler.headers.get("Authorization") != BASIC:
            handler.answer(401, www_authenticate="Basic")
        else:
            redirect(elsewhere.url)(handler)
        return False

    return guard


def _secretive(asked: Asked) -> bool:
    return "authorization" not in asked.headers and SECRET not in str(asked)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], []),
        (["Basic"], [Challenge("basic")]),
        (['Basic realm="a, b", charset=utf-8'], [Challenge("basic", {"realm": "a, b", "charset": "utf-8"})]),
        (['BEARER Realm="x\\"y"'], [Challenge("bearer", {"realm": 'x"y'})]),
        (['Basic realm=a, Bearer realm="b"'], [Challenge("basic", {"realm": "a"}), Challenge("bearer", {"realm": "b"})]),
        (["Negotiate", "Bearer realm=http://h/t"], [Challenge("negotiate"), Challenge("bearer", {"realm": "http://h/t"})]),
        (['Bearer realm="unended'], [Challenge("bearer", {"realm": ""})]),
        (["=,;"], []),
        (["Bearer " + "a" * 100_000], [Challenge("bearer"), Challenge("a" * 100_000)]),
        (['Bearer realm="a" oh=no; Basic'], [Challenge("bearer", {"realm": "a", "oh": "no;"}), Challenge("basic")]),
    ],
)
def test_challenges_are_read(headers: list[str], expected: list[Challenge]) -> None:
    """Several in one header or in many, quoted or not; what is malformed ends the reading."""
    assert challenges(headers) == expected


def test_identity_tokens_do_not_follow_redirects(client: Registry, lying: LyingRegistry) -> None:
    """A token server that sends us to another host does not have us repeat our secret there."""
    log_in(lying.address, identitytoken=SECRET)
    with LyingRegistry() as elsewhere:
        elsewhere.fault("/token", body(b'{"token": "granted"}'))
        lying.fault("/token", redirect(elsewhere.url))
        bearer(lying, f"{lying.url}/token")
        with pytest.raises(RegistryError, match="for it alone"):
            resolve(client, lying)
        assert elsewhere.asked == []
