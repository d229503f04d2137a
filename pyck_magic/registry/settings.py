"""Which hosts stand for a registry, and which of them may be spoken to without TLS.

Runs in:    the notebook kernel, or the `pyck` command. Reads Docker's daemon.json and our config.toml:

    [registries."docker.io"]
    mirrors = ["https://mirror.example", "localhost:5000"]

    [registries."registry.lab:5000"]
    insecure = true
"""

import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pyck_magic.model.errors import BadReference, BadRequest
from pyck_magic.model.reference import DOCKER_HUB
from pyck_magic.registry.trust import is_local, web_address

# Docker Hub is called docker.io, and lives elsewhere.
_HOSTS = {DOCKER_HUB: "registry-1.docker.io"}
_DAEMON_JSON = "/etc/docker/daemon.json"

Trust = Literal["local", "insecure", "strict"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One host that serves a registry's images. `name` is what people call it; `schemes` are tried in this order."""

    name: str
    host: str
    schemes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Mirrors by registry, in the order they are asked; and hosts (`name[:port]`) or networks that need no valid TLS."""

    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    insecure: frozenset[str] = frozenset()

    @classmethod
    def read(cls, daemon_json: str = _DAEMON_JSON) -> "RegistrySettings":
        """What is configured on this machine, ours before Docker's. Raises BadRequest for a file that cannot be understood."""
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        mirrors: dict[str, tuple[str, ...]] = {}
        insecure: set[str] = set()
        for registry, given in _table(_toml(f"{config}/pyck/config.toml"), "registries").items():
            if isinstance(given, dict):
                mirrors[registry] = _texts(given, "mirrors")
                if given.get("insecure") is True:
                    insecure.add(registry)
        for path in (f"{config}/docker/daemon.json", daemon_json):
            docker = _json(path)
            # Docker knows mirrors of Docker Hub only.
            mirrors[DOCKER_HUB] = mirrors.get(DOCKER_HUB, ()) + _texts(docker, "registry-mirrors")
            insecure.update(_texts(docker, "insecure-registries"))
        return cls(mirrors={name: tuple(dict.fromkeys(hosts)) for name, hosts in mirrors.items()}, insecure=frozenset(insecure))

    def endpoints(self, registry: str) -> tuple[Endpoint, ...]:
        """Whom to ask for images of a registry: its mirrors, and last itself. Raises BadRequest for what is no address."""
        if web_address(f"https://{registry}") is None:
            raise BadReference(f"{registry[:80]!a} is no address of a registry", hint="a registry is HOST[:PORT]")
        own = Endpoint(registry, _HOSTS.get(registry, registry), self._schemes(registry))
        return (*(self._mirror(text) for text in self.mirrors.get(registry, ())), own)

    def trust(self, host: str, port: int | None) -> Trust:
        """How a host must prove itself. Whoever is not strictly checked may also speak plain HTTP."""
        if is_local(host):
            return "local"
        names = {written for name in (host, f"[{host}]") for written in (name, f"{name}:{port or 443}")}
        if names & self.insecure or self._in_insecure_network(host):
            return "insecure"
        return "strict"

    def _mirror(self, text: str) -> Endpoint:
        scheme, separator, host = text.partition("://")
        if not separator:
            scheme, host = "", text
        host = host.rstrip("/")
        if scheme not in ("", "http", "https") or any(letter in host for letter in "/@?# ") or not web_address(f"https://{host}"):
            raise BadRequest(f"{text[:80]!a} is no address of a mirror", hint="write it as https://HOST[:PORT], without a path")
        if scheme == "http" and "http" not in self._schemes(host):
            raise BadRequest(
                f"the mirror {text} is not encrypted",
                hint=f'if that is meant, mark it in config.toml: [registries."{host}"] insecure = true',
            )
        return Endpoint(host, host, (scheme,) if scheme else self._schemes(host))

    def _schemes(self, authority: str) -> tuple[str, ...]:
        host, port = _split(authority)
        # What is local is nearly always plain, and what is marked is often TLS with a certificate of its own.
        return {"local": ("http", "https"), "insecure": ("https", "http"), "strict": ("https",)}[self.trust(host, port)]

    def _in_insecure_network(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        for one in self.insecure:
            if "/" in one:
                try:
                    if address in ipaddress.ip_network(one, strict=False):
                        return True
                except ValueError:
                    continue  # what is no network marks none
        return False


def _split(authority: str) -> tuple[str, int | None]:
    host, colon, port = authority.rpartition(":")
    if colon and port.isdigit():
        return host.strip("[]"), int(port)
    return authority.strip("[]"), None


def _json(path: str) -> dict[str, Any]:
    return _document(path, json.loads)


def _toml(path: str) -> dict[str, Any]:
    return _document(path, tomllib.loads)


def _document(path: str, parse: Any) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            document = parse(file.read())
    except OSError:
        return {}  # Docker's may be hidden from us, and none need exist
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{path} cannot be understood: {error}", hint="correct it, or move it away") from None
    return document if isinstance(document, dict) else {}


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name)
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
