"""Proving who we are: nothing, Basic, or a token that the registry has us fetch elsewhere.

Runs in:    the notebook kernel, on any thread.

Formats: distribution-spec "token" and "oauth" documents of the CNCF distribution project.
"""

import threading
from collections.abc import Mapping

import httpx

from pyck_magic.model.errors import BadManifest, RegistryError, Unauthorized
from pyck_magic.model.untrusted import Fields
from pyck_magic.registry.challenge import challenges
from pyck_magic.registry.credentials import Credentials, Keyring
from pyck_magic.registry.refusals import refuse
from pyck_magic.registry.trust import shown, token_realm
from pyck_magic.registry.wire import Wire, read_small

_TOKEN_ANSWER_BYTES_MAX = 256 << 10
_CLIENT_ID = "pyck"


class Authorization:
    """What we say to one endpoint about one repository. Safe to share between threads."""

    def __init__(self, wire: Wire, registry: str, repository: str, keyring: Keyring) -> None:
        self._wire = wire
        self._registry = registry
        self._repository = repository
        self._keyring = keyring
        self._mutex = threading.Lock()
        self.header = ""

    def improve(self, answer: httpx.Response, refused: str) -> bool:
        """After a 401: find something better to say than `refused`, which was said; False when there is nothing.

        Raises Unauthorized when the token server refuses us, or is nobody we should speak to; RegistryError, TryAgain.
        """
        with self._mutex:
            if self.header != refused:
                return True  # another thread was quicker
            wanted = {one.scheme: one.parameters for one in reversed(challenges(answer.headers.get_list("www-authenticate")))}
            if "bearer" in wanted:
                self.header = f"Bearer {self._token(answer.url, wanted['bearer'])}"
            elif "basic" in wanted and (found := self._credentials()) is not None:
                self.header = found.basic
            return self.header != refused

    def explained(self, error: RegistryError) -> RegistryError:
        """The same error, with what stood in the way of our credentials as its hint."""
        if self._keyring.problem:
            error.hint = self._keyring.problem
        elif self.header.startswith("Basic "):
            error.hint = f"the user name or password for {self._registry} in Docker's config.json is refused"
        return error

    def _credentials(self) -> Credentials | None:
        return self._keyring.find(self._registry)

    def _token(self, registry: httpx.URL, wanted: Mapping[str, str]) -> str:
        realm, may_see_credentials = token_realm(registry, wanted.get("realm", ""))
        credentials = self._credentials() if may_see_credentials else None
        scope = wanted.get("scope", "")
        # Nobody talks us into asking for more than to read.
        if not (scope.startswith("repository:") and scope.endswith(":pull") and " " not in scope):
            scope = f"repository:{self._repository}:pull"
        fields = {"scope": scope, **({"service": wanted["service"]} if "service" in wanted else {})}
        if credentials is not None and credentials.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": credentials.identity_token, "client_id": _CLIENT_ID, **fields}
            exchange = self._wire.send("POST", realm, form=form)
        else:
            basic = credentials.basic if credentials is not None else ""
            exchange = self._wire.send("GET", realm.copy_merge_params(fields), authorization=basic)
        with exchange as answer:
            if answer.status_code in (401, 403) and credentials is not None:
                raise Unauthorized(
                    f"{realm.host} refuses our credentials for {self._registry}", url=shown(realm), status=answer.status_code,
                    hint="correct the user name or password in Docker's ~/.docker/config.json",
                )  # fmt: skip
            if answer.status_code != 200:
                raise refuse(answer, f"a token for {self._repository}", f"{self._registry}/{self._repository}")
            return _token_in(read_small(answer, _TOKEN_ANSWER_BYTES_MAX), realm)


def _token_in(data: bytes, realm: httpx.URL) -> str:
    try:
        fields = Fields.of_document(data, "token answer")
        token = fields.text("token", "") or fields.text("access_token", "")
    except BadManifest as error:
        raise RegistryError(f"{realm.host} answers with what is no token: {error}", url=shown(realm)) from None
    # It becomes a header, where a line break would begin another one.
    if not token.isascii() or not token.isprintable() or " " in token or not token:
        raise RegistryError(f"{realm.host} answers with what is no token", url=shown(realm))
    return token
