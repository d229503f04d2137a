"""Credentials in Docker's files and from its helper programs. The files are real, and the helpers are small shell scripts.

Runs in:    pytest.
"""

import base64
import json
import os
from pathlib import Path

import pytest

from pyck_magic.registry.credentials import Credentials, Keyring

HUB = "https://index.docker.io/v1/"
ALICE = Credentials("alice", "a:secret")
BOB = Credentials("bob", "b-secret")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for config.json."""
    made = tmp_path / "docker"
    made.mkdir()
    return made


@pytest.fixture
def helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for helper programs, on PATH."""
    made = tmp_path / "bin"
    made.mkdir()
    monkeypatch.setenv("PATH", f"{made}:{os.environ['PATH']}")
    return made


def auth(credentials: Credentials) -> dict[str, str]:
    """An entry as `docker login` writes it."""
    return {"auth": base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()}


def keyring(folder: Path, **config: object) -> Keyring:
    """A keyring that reads this config.json."""
    (folder / "config.json").write_text(json.dumps(config))
    return Keyring(str(folder))


def helper(helpers: Path, name: str, answer: object, code: int = 0) -> Path:
    """A helper that answers so. The returned file then holds what it was asked for."""
    program, asked = helpers / f"docker-credential-{name}", helpers / f"{name}.asked"
    said = answer if isinstance(answer, str) else json.dumps(answer)
    (helpers / f"{name}.answer").write_text(said)
    program.write_text(f'#!/bin/sh\n(echo "$@"; cat) > {asked}\ncat {helpers}/{name}.answer\nexit {code}\n')
    program.chmod(0o755)
    return asked


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("docker.io", HUB),
        ("docker.io", "docker.io"),
        ("docker.io", "index.docker.io"),
        ("docker.io", "https://index.docker.io/v2/"),
        ("docker.io", "registry-1.docker.io"),
        ("quay.io", "quay.io"),
        ("quay.io", "https://quay.io"),
        ("quay.io", "https://quay.io/v1/"),
        ("quay.io", "quay.io/"),
        ("lab:5000", "lab:5000"),
        ("lab:5000", "http://lab:5000/v2/"),
        ("[::1]:5000", "[::1]:5000"),
    ],
)
def test_a_key_may_be_a_host_or_an_address(folder: Path, registry: str, key: str) -> None:
    """All that Docker ever wrote as a key is understood."""
    assert keyring(folder, auths={key: auth(ALICE)}).find(registry) == ALICE


@pytest.mark.parametrize(
    ("registry", "key"),
    [
        ("lab:5000", "lab"),
        ("lab", "lab:5000"),
        ("lab:5000", "lab:50000"),
        ("quay.io", "evil.quay.io"),
        ("quay.io", "quay.io.evil"),
        ("quay.io", "https://evil/quay.io"),
        ("quay.io", HUB),
        ("docker.io", "quay.io"),
    ],
)
def test_credentials_are_for_one_registry(folder: Path, registry: str, key: str) -> None:
    """Another port or another name is another registry."""
    found = keyring(folder, auths={key: auth(ALICE)})
    assert found.find(registry) is None
    assert found.problem == ""


def test_the_key_that_docker_login_writes_goes_first(folder: Path) -> None:
    """However many keys mean the same registry, and in whichever order; one without credentials is passed over."""
    auths = {"https://lab/v2/": auth(BOB), "lab": auth(ALICE), "docker.io/x": auth(BOB), HUB: auth(ALICE)}
    for given in (auths, dict(reversed(auths.items()))):
        assert keyring(folder, auths=given).find("lab") == ALICE
        assert keyring(folder, auths=given).find("docker.io") == ALICE
    assert keyring(folder, auths={"lab": {}, "https://lab": auth(BOB)}).find("lab") == BOB


@pytest.mark.parametrize(
    ("entry", "credentials"),
    [
        ({"username": "bob", "password": "b-secret"}, BOB),
        (auth(ALICE) | {"username": "x", "password": "y"}, ALICE),
        (auth(ALICE) | {"identitytoken": "t"}, Credentials(identity_token="t")),
        ({"auth": base64.b64encode(b"bob:b-secret\0\0").decode()}, BOB),
        (auth(Credentials("jürgen", "größe")), Credentials("jürgen", "größe")),
        ({}, None),
        ({"auth": ""}, None),
        ({"auth": None, "username": None}, None),
    ],
)
def test_every_kind_of_entry(folder: Path, entry: dict[str, str], credentials: Credentials | None) -> None:
    """An identity token, user and password packed, or both apart."""
    assert keyring(folder, auths={"lab": entry}).find("lab") == credentials


@pytest.mark.parametrize("packed", ["é", "!!!!", "YWxpY2U6eA", "YWxp Y2U6eA==", "/w==", "bm8gY29sb24=", 24680])
def test_damaged_base64_is_a_problem_and_no_failure(folder: Path, packed: object) -> None:
    """It is not guessed at, the value is not shown, and other registries are not touched by it."""
    found = keyring(folder, auths={"lab": {"auth": packed}, "quay.io": auth(BOB)})
    assert found.find("lab") is None
    assert "config.json.auths.lab.auth is not" in found.problem
    assert str(packed) not in found.problem
    assert found.find("quay.io") == BOB
    assert found.problem == ""


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "config.json is no JSON"),
        (b"{", "config.json is no JSON"),
        (b"[]", "config.json is no JSON object"),
        (b"{".ljust((4 << 20) + 1), "larger than 4 MiB"),
        (b'{"auths": []}', "config.json.auths is not an object"),
        (b'{"auths": {"lab": "x"}}', "config.json.auths.lab is not an object"),
        (b'{"auths": {"lab": {"username": "a", "password": 24680}}}', "config.json.auths.lab.password is not a string"),
        (b'{"credHelpers": {"lab": 7}}', "config.json.credHelpers is not a string"),
        (b'{"credsStore": ["x"]}', "config.json.credsStore is not a string"),
        (b'{"credsStore": "../../bin/x"}', "is no name of a credential helper"),
    ],
    ids=lambda given: str(given)[:20],
)
def test_a_damaged_file_is_a_problem_and_no_failure(folder: Path, content: bytes, problem: str) -> None:
    """There are no credentials then, the problem says why, and it repeats no secret."""
    (folder / "config.json").write_bytes(content)
    found = Keyring(str(folder))
    assert found.find("lab") is None
    assert problem in found.problem
    assert "24680" not in found.problem


def test_where_the_file_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In DOCKER_CONFIG, else in ~/.docker; without a file there are no credentials and no problem."""
    assert (Keyring().find("lab"), Keyring().problem) == (None, "")
    keyring(folder, auths={"lab": auth(ALICE)})
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    assert Keyring().find("lab") == ALICE
    monkeypatch.delenv("DOCKER_CONFIG")
    folder.rename(Path(os.environ["HOME"], ".docker"))
    assert Keyring().find("lab") == ALICE


def test_a_file_that_cannot_be_read_is_a_problem(folder: Path) -> None:
    """A folder in its place, say."""
    (folder / "config.json").mkdir()
    found = Keyring(str(folder))
    assert found.find("lab") is None
    assert found.problem == f"{folder}/config.json cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("registry", "key", "asked"), [("lab:5000", "lab:5000", "lab:5000"), ("docker.io", HUB, HUB), ("docker.io", "docker.io", HUB)]
)
def test_a_helper_is_asked(folder: Path, helpers: Path, registry: str, key: str, asked: str) -> None:
    """With the word `get`, and the registry on its input, which for Docker Hub is the address that `docker login` uses."""
    questions = helper(helpers, "one", {"ServerURL": asked, "Username": "alice", "Secret": "a:secret"})
    assert keyring(folder, credHelpers={key: "one"}).find(registry) == ALICE
    assert keyring(folder, credsStore="one").find(registry) == ALICE
    assert questions.read_text() == f"get\n{asked}"


def test_the_helper_of_a_registry_goes_first(folder: Path, helpers: Path) -> None:
    """Then the helper for all, and what is in the file only if neither has anything."""
    helper(helpers, "own", {"Username": "alice", "Secret": "a:secret"})
    helper(helpers, "all", {"Username": "bob", "Secret": "b-secret"})
    helper(helpers, "none", "credentials not found in native keychain\n", 1)
    found = keyring(folder, credHelpers={"lab": "own"}, credsStore="all", auths={"lab": auth(BOB), "quay.io": auth(ALICE)})
    assert (found.find("lab"), found.find("quay.io")) == (ALICE, BOB)
    found = keyring(folder, credHelpers={"lab": "none"}, credsStore="all", auths={"lab": auth(ALICE)})
    assert (found.find("lab"), found.problem) == (ALICE, "")


def test_a_helper_may_have_an_identity_token(folder: Path, helpers: Path) -> None:
    """The user is then called <token>."""
    helper(helpers, "one", {"Username": "<token>", "Secret": "t"})
    assert keyring(folder, credsStore="one").find("lab") == Credentials(identity_token="t")


@pytest.mark.parametrize(
    ("answer", "code", "problem"),
    [
        ("credentials not found in native keychain", 1, ""),
        ({}, 0, ""),
        ("the keychain is locked: hush", 1, "docker-credential-one failed with exit code 1"),
        ("", 0, "docker-credential-one answered with what are no credentials"),
        ("hush", 0, "docker-credential-one answered with what are no credentials"),
        ('{"Username": "a", "Secret": 24680}', 0, "docker-credential-one answered with what are no credentials"),
    ],
)
def test_a_helper_that_has_nothing(folder: Path, helpers: Path, answer: object, code: int, problem: str) -> None:
    """Not to be found is no problem; to fail is one, and what the helper said is not repeated."""
    helper(helpers, "one", answer, code)
    found = keyring(folder, credsStore="one")
    assert (found.find("lab"), found.problem) == (None, problem)


def test_a_helper_that_cannot_be_run(folder: Path, helpers: Path) -> None:
    """It may be missing, or no program: a problem, and the file is searched as if there were none."""
    (helpers / "docker-credential-bad").write_bytes(b"\x7fELF")
    (helpers / "docker-credential-bad").chmod(0o755)
    for name, why in (("missing", "No such file or directory"), ("bad", "Exec format error")):
        found = keyring(folder, credsStore=name, auths={"lab": auth(ALICE)})
        assert found.find("lab") == ALICE
        assert found.problem == f"docker-credential-{name}: {why}"


def test_secrets_do_not_show() -> None:
    """Neither in a repr nor in text: only the header has them (RFC 7617)."""
    credentials = Credentials("alice", "hush", "token")
    for text in (repr(credentials), str(credentials), repr([credentials])):
        assert "alice" in text
        assert "hush" not in text
        assert "token" not in text.replace("identity_token", "")
    assert Credentials("Aladdin", "open sesame").basic == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
