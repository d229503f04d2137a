"""Encryption: whose certificate must be good, who may do without, and what is said when it is not.

Addresses of this machine need no certificate, by Docker's rule. 0.0.0.0 leads to it too but is none of them: here it
stands for a host far away.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from pyck_magic.model.errors import RegistryError, RegistryUnreachable
from pyck_magic.model.platform import Platform
from pyck_magic.model.reference import Reference
from pyck_magic.registry import Registry
from pyck_magic.registry.settings import RegistrySettings
from tests.registry.lying import LyingRegistry, redirect

FAR = "0.0.0.0"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Somebody who signs certificates, whom nobody trusts yet."""
    return trustme.CA()


@pytest.fixture
def encrypted(authority: trustme.CA) -> Iterator[LyingRegistry]:
    """A registry far away that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(FAR, "127.0.0.1").configure_cert(context)
    with LyingRegistry(certificate=context, host=FAR) as running:
        running.add_image("latest")
        yield running


def resolve(address: str, **settings: frozenset[str]) -> str:
    with Registry(RegistrySettings(**settings)) as client:
        return client.resolve(Reference.parse(f"{address}/tool"), Platform("linux", "amd64")).served_by


def test_a_bad_certificate_ends_it(encrypted: LyingRegistry) -> None:
    """CVE-2019-10214: with a certificate that nobody vouches for, not a word is said; the hint tells how to trust it."""
    with pytest.raises(RegistryUnreachable, match=r"the certificate of 0\.0\.0\.0 cannot be trusted") as caught:
        resolve(encrypted.address)
    assert f'[registries."{encrypted.address}"] insecure = true' in caught.value.hint
    assert encrypted.asked == []


def test_a_good_certificate_is_accepted(
    encrypted: LyingRegistry, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: with an authority the machine trusts, the same registry serves."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert resolve(encrypted.address) == encrypted.address


def test_a_marked_registry_needs_no_certificate(encrypted: LyingRegistry) -> None:
    """As with Docker's insecure-registries, for one host or for a network."""
    assert resolve(encrypted.address, insecure=frozenset([encrypted.address])) == encrypted.address
    assert resolve(encrypted.address, insecure=frozenset(["0.0.0.0/8"])) == encrypted.address


def test_this_machine_needs_no_certificate(encrypted: LyingRegistry) -> None:
    """On loopback plain HTTP is tried first, and TLS where that is refused."""
    address = f"127.0.0.1:{encrypted.port}"
    assert resolve(address) == address


def test_plain_http_is_for_loopback_and_marked_hosts(lying: LyingRegistry) -> None:
    """A registry elsewhere that speaks no TLS is not spoken to, unless it is marked."""
    lying.add_image("latest")
    with pytest.raises(RegistryUnreachable, match="cannot reach"):
        resolve(f"{FAR}:{lying.port}")
    assert lying.asked == []
    assert resolve(f"{FAR}:{lying.port}", insecure=frozenset([f"{FAR}:{lying.port}"]))


def test_redirects_do_not_lead_out_of_tls(encrypted: LyingRegistry, lying: LyingRegistry) -> None:
    """What began encrypted is not continued in the open, not even for a marked registry."""
    encrypted.fault("/manifests/", redirect(f"http://{FAR}:{lying.port}"))
    with pytest.raises(RegistryError, match="without encryption"):
        resolve(encrypted.address, insecure=frozenset([encrypted.address, f"{FAR}:{lying.port}"]))
    assert lying.asked == []
