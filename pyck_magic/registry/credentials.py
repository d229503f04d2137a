"""Credentials as Docker keeps them: ~/.docker/config.json, and the helper programs it names.

Runs in:    the notebook kernel, or the `pyck` command. Nothing is read before a registry asks for it, and nothing is written.
"""

import base64
import os
import subprocess
from dataclasses import dataclass, field

from pyck_magic.model.errors import BadManifest
from pyck_magic.model.reference import DOCKER_HUB
from pyck_magic.model.untrusted import Fields

_HUB_KEY = "https://index.docker.io/v1/"
_HELPER_TIMEOUT_S = 30.0
_IDENTITY_TOKEN = "<token>"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user and password, or an identity token that stands for both. The secrets do not show in a repr."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class Keyring:
    """Finds credentials by registry. `problem` tells what stood in the way of the last search, for whoever gets refused then."""

    def __init__(self, folder: str | None = None) -> None:
        self._folder = folder
        self.problem = ""

    def find(self, registry: str) -> Credentials | None:
        """The credentials for `host[:port]`, or for `docker.io`; None when there are none, or they cannot be had."""
        self.problem = ""
        try:
            config = self._read()
            helper = self._helper(config, registry)
            if helper and (found := self._ask(helper, _HUB_KEY if registry == DOCKER_HUB else registry)):
                return found
            auths = config.inner("auths")
            keys = [key for key in auths.names() if _registry_of(key) == registry]
            # The exact key first, as `docker login` writes it.
            keys.sort(key=lambda key: key not in (registry, _HUB_KEY))
            return next((found for key in keys if (found := _entry(auths.inner(key)))), None)
        except BadManifest as error:
            what = str(error).partition(": ")[0]  # what follows is the value, which may be a secret
            self.problem = f"Docker's config.json cannot be understood: {what}"
            return None

    def _read(self) -> Fields:
        folder = self._folder or os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        try:
            with open(f"{folder}/config.json", "rb") as file:
                return Fields.of_document(file.read(), "config.json")
        except FileNotFoundError:
            pass
        except OSError as error:
            self.problem = f"{folder}/config.json cannot be read: {error.strerror}"
        return Fields({}, "config.json")

    def _helper(self, config: Fields, registry: str) -> str:
        helpers = config.table("credHelpers")
        return next((name for key, name in helpers.items() if _registry_of(key) == registry), "") or config.text("credsStore", "")

    def _ask(self, helper: str, server: str) -> Credentials | None:
        """Run `docker-credential-HELPER get` (github.com/docker/docker-credential-helpers)."""
        program = f"docker-credential-{helper}"
        if "/" in helper:
            self.problem = f"{program!a} is no name of a credential helper"
            return None
        try:
            done = subprocess.run([program, "get"], input=server.encode(), capture_output=True, timeout=_HELPER_TIMEOUT_S)
        except OSError as error:
            self.problem = f"{program}: {error.strerror}"
            return None
        except subprocess.TimeoutExpired:
            self.problem = f"{program} did not answer within {_HELPER_TIMEOUT_S:.0f} s"
            return None
        if done.returncode:
            if b"credentials not found" not in done.stdout + done.stderr:
                self.problem = f"{program} failed with exit code {done.returncode}"
            return None
        try:
            answer = Fields.of_document(done.stdout, program)
            username, secret = answer.text("Username", ""), answer.text("Secret", "")
        except BadManifest:
            self.problem = f"{program} answered with what are no credentials"
            return None
        if username == _IDENTITY_TOKEN:
            return Credentials(identity_token=secret)
        return Credentials(username, secret) if username or secret else None


def _entry(entry: Fields) -> Credentials | None:
    """One entry of `auths`: an identity token, `auth` (base64 of user:password), or both apart."""
    if token := entry.text("identitytoken", ""):
        return Credentials(identity_token=token)
    username, password = entry.text("username", ""), entry.text("password", "")
    if packed := entry.text("auth", ""):
        try:
            username, colon, password = base64.b64decode(packed, validate=True).decode().rstrip("\0").partition(":")
        except ValueError:
            raise BadManifest(f"{entry.place}.auth is not base64") from None
        if not colon:
            raise BadManifest(f"{entry.place}.auth is not USER:PASSWORD in base64")
    return Credentials(username, password) if username or password else None


def _registry_of(key: str) -> str:
    """The registry that a key of config.json means: it may be an address with scheme and path."""
    host = key.partition("://")[2] if "://" in key else key
    host = host.partition("/")[0]
    return DOCKER_HUB if host in ("index.docker.io", "registry-1.docker.io") else host
