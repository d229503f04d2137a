"""Whom we speak to, and what they may ask of us: rules about addresses, without any I/O.

Runs in:    the notebook kernel, or the `pyck` command.
"""

import ipaddress
import socket

import httpx

from pyck_magic.model.errors import RegistryError, Unauthorized


def is_local(host: str) -> bool:
    """Whether a host is this machine, by its name alone: localhost, 127.0.0.0/8, ::1. Plain HTTP does no harm there."""
    address = _address(host)
    return address.is_loopback if address else f".{host.removesuffix('.')}".endswith(".localhost")


def is_inward(host: str) -> bool:
    """Whether only somebody inside may send us there: this machine, or link-local addresses (clouds keep their secrets there)."""
    address = _address(host)
    return is_local(host) or (address is not None and (address.is_link_local or address.is_unspecified))


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """The same scheme, host and port: what may share credentials."""
    return (one.scheme, one.host, _port(one)) == (other.scheme, other.host, _port(other))


def web_address(text: str | httpx.URL) -> httpx.URL | None:
    """An http or https address without a user in it, of a host that can be looked up; None if it is anything else."""
    try:
        url = httpx.URL(text)
        # Both raise for hosts that the lookup would fail at with no error of httpx: false xn-- names, empty and long labels.
        host = url.host
        url.raw_host.decode("ascii").encode("idna")
    except (httpx.InvalidURL, ValueError):
        return None
    return url if url.scheme in ("http", "https") and host and not url.userinfo and (url.port or 0) < 1 << 16 else None


def redirect_target(source: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads. Raises RegistryError when it must not be followed: out of TLS, or inward from outside."""
    try:
        target = web_address(source.join(location))
    except (httpx.InvalidURL, ValueError):
        target = None
    if target is None:
        raise RegistryError(f"{source.host} redirects to what is no address of a registry", url=shown(source))
    if source.scheme == "https" and target.scheme == "http":
        raise RegistryError(f"{source.host} redirects to {target.host} without encryption", url=shown(source))
    if is_inward(target.host) and not is_inward(source.host):
        raise RegistryError(f"{source.host} redirects to {target.host}, which is inside this machine", url=shown(source))
    return target


def token_realm(registry: httpx.URL, realm: str) -> tuple[httpx.URL, bool]:
    """The address to ask for a token, and whether it may see the credentials for `registry`.

    Those go to the same host, or over TLS to a host with a name (CVE-2020-15157 and its relatives).
    Raises Unauthorized for realms that must not be spoken to at all.
    """
    url = web_address(realm)
    if url is None:
        raise Unauthorized(f"{registry.host} sends us for a token to what is no web address: {realm[:80]!a}", url=shown(registry))
    same_host = url.host == registry.host or (is_local(url.host) and is_local(registry.host))
    downgrade = registry.scheme == "https" and url.scheme == "http"
    inward = is_inward(url.host) and not is_inward(registry.host)
    bare = _address(url.host) is not None and _address(registry.host) is None
    if downgrade or inward or (bare and not same_host):
        why = "without encryption" if downgrade else "which is inside this machine" if inward else "which has no name"
        raise Unauthorized(f"{registry.host} sends us for a token to {url.host}, {why}", url=shown(registry))
    return url, same_host or url.scheme == "https"


def shown(url: httpx.URL) -> str:
    """An address as people may see it: queries of signed addresses are as good as passwords."""
    return str(url.copy_with(query=None, fragment=None, username="", password=""))[:300]


def _port(url: httpx.URL) -> int | None:
    return url.port or {"http": 80, "https": 443}.get(url.scheme)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    host = host.strip("[]").removesuffix(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            # The resolver reads 127.1, 2130706433 and 0x7f.1 as addresses too.
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return getattr(address, "ipv4_mapped", None) or address
