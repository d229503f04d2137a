"""Where a registry may send us, and who may see credentials: CVE-2020-15157 (containerd) and its relatives.

Runs in:    pytest.
"""

import socket

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pyck_magic.model.errors import RegistryError, Unauthorized
from pyck_magic.registry.trust import is_inward, is_local, redirect_target, same_origin, shown, token_realm, web_address

LOCAL = [
    "localhost", "localhost.", "a.localhost", "127.0.0.1", "127.0.0.1.", "127.255.0.1", "::1", "[::1]", "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    # The resolver takes these for addresses, although no standard of the web does.
    "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001",
]  # fmt: skip
INWARD = [
    "169.254.169.254", "169.254.169.254.", "0.0.0.0", "::", "fe80::1", "fe80::1%25eth0", "::ffff:169.254.169.254", "0",
    "2852039166", "169.254.43518",
]  # fmt: skip
OUTSIDE = [
    "quay.io", "localhost.example", "notlocalhost", "127.0.0.1.example", "10.0.0.1", "192.168.0.1", "126.255.255.255",
    "128.0.0.1", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1", "256.1.1.1", "4294967296", "",
]  # fmt: skip


BARE = [host for host in LOCAL + INWARD if ":" not in host]


def test_what_is_inside_this_machine() -> None:
    """Loopback is local, and link-local addresses are inward too, where clouds keep their secrets, in every way to write them."""
    assert [host for host in LOCAL + INWARD + OUTSIDE if is_local(host)] == LOCAL
    assert [host for host in LOCAL + INWARD + OUTSIDE if is_inward(host)] == LOCAL + INWARD


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0", "2852039166"])
def test_odd_addresses_lead_inside(host: str) -> None:
    """The control: without a look-up, the resolver really takes these for addresses inside this machine."""
    [(*_, (address, _port))] = socket.getaddrinfo(host, 80, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    assert address in ("127.0.0.1", "0.0.0.0", "169.254.169.254")


@pytest.mark.parametrize(
    ("source", "location", "target"),
    [
        ("https://r.example/v2/a/blobs/x", "https://cdn.example/x?sig=1", "https://cdn.example/x?sig=1"),
        ("https://r.example/v2/a/blobs/x", "/other", "https://r.example/other"),
        ("https://r.example/v2/a/blobs/x", "y?z", "https://r.example/v2/a/blobs/y?z"),
        ("https://r.example/v2/", "//cdn.example/x", "https://cdn.example/x"),
        ("https://r.example/v2/", "https://r.example:444/x", "https://r.example:444/x"),
        ("https://r.example/v2/", "https://10.0.0.1/x", "https://10.0.0.1/x"),
        ("https://r.example/v2/", "https://bücher.example/x", "https://xn--bcher-kva.example/x"),
        ("http://r.example/v2/", "http://cdn.example/x", "http://cdn.example/x"),
        ("http://r.example/v2/", "https://cdn.example/x", "https://cdn.example/x"),
        ("http://localhost:5000/v2/", "http://127.0.0.1:9000/x", "http://127.0.0.1:9000/x"),
        ("http://localhost:5000/v2/", "http://169.254.1.1/x", "http://169.254.1.1/x"),
        ("http://localhost:5000/v2/", "http://minio.example/x", "http://minio.example/x"),
    ],
)
def test_a_redirect_that_is_followed(source: str, location: str, target: str) -> None:
    """To anybody outside, into TLS or staying in it; whoever is inside may send us anywhere inside."""
    assert str(redirect_target(httpx.URL(source), location)) == target


@pytest.mark.parametrize(
    ("source", "location", "message"),
    [
        ("https://r.example/v2/?sig=1", "http://r.example/v2/", "r.example redirects to r.example without encryption"),
        ("https://r.example/v2/", "http://cdn.example/x", "r.example redirects to cdn.example without encryption"),
        ("https://localhost:5000/v2/", "http://localhost:5000/", "without encryption"),
        *(("http://r.example/v2/", f"http://{host}/x", "which is inside this machine") for host in BARE),
        ("http://r.example/v2/", "http://[::1]/x", "r.example redirects to ::1, which is inside this machine"),
        ("http://r.example/v2/", "//[::ffff:169.254.169.254]/latest/meta-data", "which is inside this machine"),
        ("http://r.example/v2/", "http://127。0。0。1/x", "which is inside this machine"),
        ("http://r.example/v2/", "http://LOCALHOST:2375/x", "which is inside this machine"),
        ("https://r.example/v2/", "https://127.0.0.1/x", "which is inside this machine"),
        ("http://10.0.0.1/v2/", "http://169.254.169.254/x", "which is inside this machine"),
        ("https://r.example/v2/", "https://me:secret@cdn.example/x", "no address of a registry"),
        ("https://r.example/v2/", "https://r.example@cdn.example/x", "no address of a registry"),
        ("https://r.example/v2/", "file:///etc/passwd", "no address of a registry"),
        ("https://r.example/v2/", "ftp://cdn.example/x", "no address of a registry"),
        ("https://r.example/v2/", "javascript:alert(1)", "no address of a registry"),
        ("https://r.example/v2/", "https://[::1/x", "no address of a registry"),
        ("https://r.example/v2/", "https://cdn.example:port/x", "no address of a registry"),
        ("https://r.example/v2/", "https://cdn.example:99999/x", "no address of a registry"),
        ("https://r.example/v2/", "https://cdn.example/\r\nx: y", "no address of a registry"),
        ("https://r.example/v2/", "https://xn--a/x", "no address of a registry"),
        ("https://r.example/v2/", "https://cdn..example/x", "no address of a registry"),
        ("https://r.example/v2/", "https://" + "x" * 64 + ".example/x", "no address of a registry"),
        ("https://r.example/v2/", "https://cdn.example/" + "x" * 70_000, "no address of a registry"),
    ],
)
def test_a_redirect_that_is_refused(source: str, location: str, message: str) -> None:
    """Out of TLS, from outside into this machine, or to what is no address that can be asked."""
    with pytest.raises(RegistryError, match="redirects to") as caught:
        redirect_target(httpx.URL(source), location)
    assert message in str(caught.value)
    assert caught.value.url == source.partition("?")[0]


@pytest.mark.parametrize(
    ("registry", "realm", "may_see"),
    [
        ("https://r.example/v2/", "https://r.example/token", True),
        ("https://r.example/v2/", "https://r.example:444/token", True),
        ("https://registry-1.docker.io/v2/", "https://auth.docker.io/token", True),
        ("http://r.example/v2/", "https://auth.example/token", True),
        ("http://r.example:5000/v2/", "http://r.example/token", True),
        ("http://r.example/v2/", "http://auth.example/token", False),
        ("http://localhost:5000/v2/", "http://127.0.0.1:5001/token", True),
        ("https://localhost:5000/v2/", "https://localhost:5001/token", True),
        ("http://localhost:5000/v2/", "http://auth.example/token", False),
        ("http://localhost:5000/v2/", "https://auth.example/token", True),
        ("http://10.0.0.1:5000/v2/", "http://10.0.0.1:5001/token", True),
        ("http://10.0.0.1:5000/v2/", "http://10.0.0.2/token", False),
        ("https://10.0.0.1/v2/", "https://10.0.0.2/token", True),
        ("http://127.0.0.1/v2/", "http://169.254.1.1/token", False),
    ],
)
def test_who_may_see_credentials(registry: str, realm: str, may_see: bool) -> None:
    """The registry's own host, and over TLS whom it names; never another one without encryption."""
    assert token_realm(httpx.URL(registry), realm) == (httpx.URL(realm), may_see)


@pytest.mark.parametrize(
    ("registry", "realm", "message"),
    [
        ("https://r.example/v2/", "http://r.example/token", "r.example sends us for a token to r.example, without encryption"),
        ("https://r.example/v2/", "http://auth.example/token", "without encryption"),
        ("https://localhost:5000/v2/", "http://localhost:5000/token", "without encryption"),
        *(("http://r.example/v2/", f"http://{host}/token", "inside this machine") for host in BARE),
        ("http://r.example/v2/", "http://[::1]:2375/token", "inside this machine"),
        ("https://r.example/v2/", "https://169.254.169.254/latest/meta-data", "inside this machine"),
        ("http://10.0.0.1/v2/", "http://169.254.169.254/latest/meta-data", "inside this machine"),
        ("https://r.example/v2/", "https://10.0.0.1/token", "r.example sends us for a token to 10.0.0.1, which has no name"),
        ("http://r.example/v2/", "http://167772161/token", "which has no name"),
        ("https://r.example/v2/", "https://[2001:db8::1]/token", "which has no name"),
        ("https://r.example/v2/", "https://me:secret@r.example/token", "no web address"),
        ("https://r.example/v2/", "https://r.example@auth.example/token", "no web address"),
        ("https://r.example/v2/", "", "no web address: ''"),
        ("https://r.example/v2/", "/token", "no web address: '/token'"),
        ("https://r.example/v2/", "//auth.example/token", "no web address"),
        ("https://r.example/v2/", "file:///etc/passwd", "no web address"),
        ("https://r.example/v2/", "https:///token", "no web address"),
        ("https://r.example/v2/", "https://xn--a/token", "no web address"),
        ("https://r.example/v2/", "https://a..b/token", "no web address"),
        ("https://r.example/v2/", "https://auth.example:99999/token", "no web address"),
        ("https://r.example/v2/", "\x1b[2Jhttps://auth.example/token", "no web address: '\\x1b[2J"),
    ],
)
def test_a_realm_that_is_not_spoken_to(registry: str, realm: str, message: str) -> None:
    """Out of TLS, into this machine, to a bare address, or to none at all."""
    with pytest.raises(Unauthorized) as caught:
        token_realm(httpx.URL(registry), realm)
    assert message in str(caught.value)
    assert caught.value.url == registry


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://r.example/a", "https://r.example/b?c", True),
        ("https://r.example", "https://R.EXAMPLE:443/", True),
        ("http://r.example:80", "http://r.example", True),
        ("https://r.example", "http://r.example", False),
        ("https://r.example", "http://r.example:443", False),
        ("https://r.example", "https://r.example:444", False),
        ("https://r.example", "https://cdn.r.example", False),
        ("https://r.example", "https://r.example.evil", False),
        ("https://r.example", "https://evil/r.example", False),
        ("http://localhost:5000", "http://127.0.0.1:5000", False),
    ],
)
def test_what_may_share_credentials(one: str, other: str, same: bool) -> None:
    """The same scheme, host and port, and nothing less."""
    assert same_origin(httpx.URL(one), httpx.URL(other)) is same_origin(httpx.URL(other), httpx.URL(one)) is same


def test_an_address_is_shown_without_its_secrets() -> None:
    """Neither user, password, query nor fragment, and no more than fits a message."""
    assert shown(httpx.URL("https://me:secret@r.example:5000/v2/x?sig=secret#secret")) == "https://r.example:5000/v2/x"
    assert len(shown(httpx.URL("https://r.example/" + "x" * 5000))) == 300


anything = some.text(max_size=30) | some.text(alphabet="htps:/[]@.0x1\\a-", max_size=20).map("https://".__add__)


@settings(deadline=None, max_examples=300)
@given(anything, some.sampled_from(["https://r.example/v2/", "http://r.example/v2/", "http://localhost:5000/v2/"]))
def test_whatever_a_registry_says_is_followed_or_refused(said: str, registry: str) -> None:
    """Nothing but our own errors comes out, and what is followed is a web address outside, unless the registry is inside."""
    source = httpx.URL(registry)
    for ask in (redirect_target, lambda source, said: token_realm(source, said)[0]):
        try:
            url = ask(source, said)
        except RegistryError as error:
            assert error.url == registry
            continue
        assert web_address(url) == url
        assert is_inward(source.host) or not is_inward(url.host)
        assert (source.scheme, url.scheme) != ("https", "http")
