"""Mirrors and insecure registries, as config.toml and Docker's daemon.json say it in real files.

Runs in:    pytest.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pyck_magic.model.errors import BadReference, BadRequest
from pyck_magic.registry.settings import Endpoint, RegistrySettings

STRICT, PLAIN_FIRST, TLS_FIRST = ("https",), ("http", "https"), ("https", "http")


@pytest.fixture
def ours() -> Path:
    """Where our config.toml belongs."""
    return _made("pyck/config.toml")


@pytest.fixture
def rootless() -> Path:
    """Where an ordinary user's daemon.json belongs."""
    return _made("docker/daemon.json")


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """What stands for /etc/docker/daemon.json."""
    return tmp_path / "daemon.json"


def _made(name: str) -> Path:
    path = Path(os.environ["XDG_CONFIG_HOME"], name)
    path.parent.mkdir(parents=True)
    return path


def hosts(found: RegistrySettings, registry: str) -> list[str]:
    """Who is asked for images of a registry, in this order."""
    return [endpoint.host for endpoint in found.endpoints(registry)]


def test_without_files_every_registry_is_asked_itself(system: Path) -> None:
    """Docker Hub lives elsewhere than it is called, and only this machine may be spoken to without TLS."""
    found = RegistrySettings.read(str(system))
    assert found.endpoints("docker.io") == (Endpoint("docker.io", "registry-1.docker.io", STRICT),)
    assert found.endpoints("quay.io") == (Endpoint("quay.io", "quay.io", STRICT),)
    assert found.endpoints("lab:5000") == (Endpoint("lab:5000", "lab:5000", STRICT),)
    for local in ("localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "a.localhost"):
        assert found.endpoints(local) == (Endpoint(local, local, PLAIN_FIRST),)


def test_mirrors_are_asked_first_ours_before_dockers(ours: Path, rootless: Path, system: Path) -> None:
    """In the order they are written, each once, and the registry itself last."""
    ours.write_text('[registries."docker.io"]\nmirrors = ["https://b.example/", "a.example:444"]\n')
    rootless.write_text(json.dumps({"registry-mirrors": ["https://c.example", "https://b.example/"]}))
    system.write_text(json.dumps({"registry-mirrors": ["https://d.example", "https://c.example"]}))
    found = RegistrySettings.read(str(system))
    assert hosts(found, "docker.io") == ["b.example", "a.example:444", "c.example", "d.example", "registry-1.docker.io"]
    assert {endpoint.schemes for endpoint in found.endpoints("docker.io")} == {STRICT}
    assert hosts(found, "quay.io") == ["quay.io"]


def test_any_registry_may_have_mirrors_of_ours(ours: Path, system: Path) -> None:
    """Docker's are for Docker Hub only."""
    ours.write_text('[registries."quay.io"]\nmirrors = ["localhost:5000", "https://localhost:5001", "[fd00::1]:5000"]\n')
    system.write_text(json.dumps({"registry-mirrors": ["https://c.example"]}))
    found = RegistrySettings.read(str(system))
    assert found.endpoints("quay.io") == (
        Endpoint("localhost:5000", "localhost:5000", PLAIN_FIRST),
        Endpoint("localhost:5001", "localhost:5001", STRICT),
        Endpoint("[fd00::1]:5000", "[fd00::1]:5000", STRICT),
        Endpoint("quay.io", "quay.io", STRICT),
    )
    assert hosts(found, "docker.io") == ["c.example", "registry-1.docker.io"]


@pytest.mark.parametrize(
    ("marked", "registry", "schemes"),
    [
        ("lab:5000", "lab:5000", TLS_FIRST),
        ("lab", "lab", TLS_FIRST),
        ("lab", "lab:5000", TLS_FIRST),
        ("lab:443", "lab", TLS_FIRST),
        ("lab:5000", "lab", STRICT),
        ("lab:5000", "lab:5001", STRICT),
        ("lab", "a.lab", STRICT),
        ("lab", "lab.example", STRICT),
        ("10.0.0.0/8", "10.1.2.3:5000", TLS_FIRST),
        ("10.0.0.7/8", "10.1.2.3", TLS_FIRST),
        ("10.0.0.0/8", "11.0.0.1", STRICT),
        ("10.0.0.0/8", "10.evil.example", STRICT),
        ("10.0.0.0/8", "[fd00::1]", STRICT),
        ("0.0.0.0/0", "lab", STRICT),
        ("fd00::/8", "[fd00::1]:5000", TLS_FIRST),
        ("[fd00::1]:5000", "[fd00::1]:5000", TLS_FIRST),
        ("[fd00::1]", "[fd00::1]", TLS_FIRST),
        ("[fd00::1]:5000", "[fd00::1]:5001", STRICT),
        ("10.0.0.0/99", "10.0.0.1", STRICT),
        ("lab/8", "lab", STRICT),
        ("", "lab", STRICT),
        ("localhost:5000", "localhost:5000", PLAIN_FIRST),
    ],
)
def test_who_needs_no_valid_tls(system: Path, marked: str, registry: str, schemes: tuple[str, ...]) -> None:
    """Hosts with or without their port, and networks; what is marked is still tried with TLS first."""
    system.write_text(json.dumps({"insecure-registries": ["other:1", marked]}))
    assert RegistrySettings.read(str(system)).endpoints(registry) == (Endpoint(registry, registry, schemes),)


def test_our_file_marks_insecure_registries_too(ours: Path, system: Path) -> None:
    """Only the word true does."""
    ours.write_text('[registries]\n"lab:5000".insecure = true\nlub.insecure = "true"\nlob.insecure = false\n')
    found = RegistrySettings.read(str(system))
    assert [found.trust(host, port) for host, port in (("lab", 5000), ("lab", None), ("lub", None), ("lob", 443))] == [
        "insecure", "strict", "strict", "strict",
    ]  # fmt: skip
    assert found.trust("127.0.0.1", 5000) == found.trust("::1", None) == "local"


@pytest.mark.parametrize(
    ("mirror", "schemes"),
    [
        ("http://localhost:5000", ("http",)),
        ("http://127.0.0.1", ("http",)),
        ("http://lab:5000/", ("http",)),
        ("https://lab:5000", ("https",)),
        ("lab:5000", TLS_FIRST),
        ("http://10.0.0.1:5000", ("http",)),
    ],
)
def test_a_plain_mirror_is_taken_where_that_is_meant(mirror: str, schemes: tuple[str, ...]) -> None:
    """On this machine, or where it was marked insecure; a scheme that is given is the only one."""
    found = RegistrySettings(mirrors={"quay.io": (mirror,)}, insecure=frozenset(["lab:5000", "10.0.0.0/8"]))
    assert found.endpoints("quay.io")[0].schemes == schemes


@pytest.mark.parametrize("mirror", ["http://lab", "http://lab:5001", "http://11.0.0.1:5000", "http://localhost.example"])
def test_a_plain_mirror_is_refused_elsewhere(mirror: str) -> None:
    """The hint says how to allow it, and other registries are not touched by it."""
    found = RegistrySettings(mirrors={"quay.io": (mirror,)}, insecure=frozenset(["lab:5000", "10.0.0.0/8"]))
    with pytest.raises(BadRequest, match="is not encrypted") as caught:
        found.endpoints("quay.io")
    assert f'[registries."{mirror.removeprefix("http://")}"] insecure = true' in caught.value.hint
    assert hosts(found, "docker.io") == ["registry-1.docker.io"]


@pytest.mark.parametrize(
    "mirror",
    [
        "", "/", "https://", "ftp://a.example", "https://a.example/path", "https://me:secret@a.example", "a?x", "a#b", "a b",
        "https://https://a.example", "a:port", "a:²", "a:99999", "a:" + "1" * 5000, "[::1", "a..b", "xn--a", "x" * 64 + ".b",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_mirror_is_refused(mirror: str) -> None:
    """A mirror is a host with a port at most."""
    with pytest.raises(BadRequest, match="is no address of a mirror") as caught:
        RegistrySettings(mirrors={"quay.io": (mirror,)}).endpoints("quay.io")
    assert "https://HOST[:PORT]" in caught.value.hint


@pytest.mark.parametrize("registry", ["lab:99999", "lab:" + "1" * 5000, "x" * 64 + ".example", "xn--a.example"])
def test_what_no_registry_can_be_called_is_refused(registry: str) -> None:
    """The grammar of references allows more than there can be."""
    with pytest.raises(BadReference, match="is no address of a registry"):
        RegistrySettings().endpoints(registry)


@pytest.mark.parametrize(
    ("toml", "daemon"),
    [
        ("registries = 7", ""),
        ("[registries]\nlab = true", ""),
        ("[registries.lab]\nmirrors = 'a.example'\ninsecure = 1", ""),
        ("[registries.lab]\nmirrors = [7, []]", ""),
        ("", "[]"),
        ("", "null"),
        ("", '{"registry-mirrors": "a.example", "insecure-registries": {"lab": 1}}'),
        ("", '{"registry-mirrors": [1, null], "insecure-registries": [["lab"]]}'),
    ],
)
def test_what_is_of_another_kind_is_passed_over(ours: Path, system: Path, toml: str, daemon: str) -> None:
    """The files have settings for others too."""
    ours.write_text(toml)
    system.write_text(daemon or "{}")
    found = RegistrySettings.read(str(system))
    assert (hosts(found, "lab"), hosts(found, "docker.io")) == (["lab"], ["registry-1.docker.io"])
    assert found.trust("lab", None) == "strict"


@pytest.mark.parametrize("content", [b"{", b"\xff", b"", b"[" * 100_000], ids=lambda given: repr(given[:4]))
def test_a_damaged_file_is_one_clear_error(ours: Path, system: Path, content: bytes) -> None:
    """With the name of the file; an empty one is damaged only if it is JSON."""
    system.write_bytes(content)
    with pytest.raises(BadRequest, match="cannot be understood") as caught:
        RegistrySettings.read(str(system))
    assert str(caught.value).startswith(str(system))
    system.unlink()
    ours.write_bytes(content or b"x")
    with pytest.raises(BadRequest, match="cannot be understood") as caught:
        RegistrySettings.read(str(system))
    assert str(caught.value).startswith(str(ours))


def test_a_file_that_cannot_be_read_is_passed_over(ours: Path, system: Path) -> None:
    """Docker's may be hidden from an ordinary user."""
    ours.mkdir()
    system.mkdir()
    assert RegistrySettings.read(str(system)) == RegistrySettings(mirrors={"docker.io": ()})


def test_without_xdg_the_files_are_in_the_home(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In ~/.config."""
    monkeypatch.delenv("XDG_CONFIG_HOME")
    folder = Path(os.environ["HOME"], ".config/pyck")
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[registries.lab]\ninsecure = true\n")
    assert RegistrySettings.read(str(system)).insecure == {"lab"}


@settings(deadline=None)
@given(some.text(max_size=20) | some.text(alphabet="http:/[]@.0x1\\a", max_size=20), some.text(max_size=9))
def test_whatever_is_configured_is_understood_or_refused(mirror: str, marked: str) -> None:
    """Nothing but our own errors comes out, and what is taken is a host and nothing else."""
    try:
        found = RegistrySettings(mirrors={"quay.io": (mirror,)}, insecure=frozenset([marked])).endpoints("quay.io")
    except BadRequest:
        return
    assert found[0].host in mirror
    assert not set("/@?# ") & set(found[0].host)
