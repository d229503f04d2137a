"""One repository at one endpoint: its manifests, blobs and tags.

Runs in:    the notebook kernel, on any thread. Paths are those of the OCI distribution specification 1.1.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping

import httpx

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import (
    BadManifest,
    RegistryError,
    RegistryUnreachable,
    WrongDigest,
    WrongSize,
)
from pyck_magic.model.manifest import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from pyck_magic.model.reference import Reference, is_tag
from pyck_magic.model.untrusted import DOCUMENT_BYTES_MAX, Fields
from pyck_magic.registry.authorization import Authorization
from pyck_magic.registry.credentials import Keyring
from pyck_magic.registry.patience import Patience, TryAgain
from pyck_magic.registry.refusals import refuse
from pyck_magic.registry.settings import Endpoint
from pyck_magic.registry.wire import Wire, read_small

_ACCEPT = ", ".join(MANIFEST_TYPES + INDEX_TYPES)
_TAGS_MAX = 20_000
_LINK_LENGTH_MAX = 2000
_NEXT_PAGE = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="?next"?')


class Repository:
    """Reads one repository. `endpoint` is the registry itself or a mirror of it."""

    def __init__(self, wire: Wire, endpoint: Endpoint, reference: Reference, keyring: Keyring) -> None:
        self.endpoint = endpoint
        self._wire = wire
        self._reference = reference
        self._authorization = Authorization(wire, endpoint.name, reference.repository, keyring)
        self._base: httpx.URL | None = None

    def manifest(self, which: Reference) -> tuple[bytes, str | None]:
        """A manifest or index, with the Content-Type it came with. Raises NoSuchImage, WrongDigest, RegistryError."""
        path = f"manifests/{which.digest or which.tag}"
        data, headers = self._read(path, f"manifest for {which.familiar}", {"Accept": _ACCEPT})
        actual = Digest.of(data)
        promised = which.digest or _digest_of(headers)
        if promised is not None and promised != actual:
            raise WrongDigest(
                f"{self.endpoint.name} serves another manifest than it promises for {which.familiar}",
                expected=promised, actual=actual, hint="pull again; if it happens again, do not trust this registry",
            )  # fmt: skip
        return data, headers.get("content-type")

    def small_blob(self, descriptor: Descriptor) -> bytes:
        """A whole blob of at most 4 MiB, such as a config, verified. Raises WrongDigest, WrongSize, RegistryError."""
        name = f"blob {descriptor.digest.short}"
        if descriptor.size > DOCUMENT_BYTES_MAX:
            raise BadManifest(f"{name} is larger than 4 MiB", expected=f"at most {DOCUMENT_BYTES_MAX}", actual=descriptor.size)
        data, _headers = self._read(f"blobs/{descriptor.digest}", name, {})
        actual = Digest.of(data)
        if len(data) != descriptor.size:
            expected, actual_size = descriptor.size, len(data)
            raise WrongSize(f"{name} has {actual_size} bytes instead of {expected}", expected=expected, actual=actual_size)
        if actual != descriptor.digest:
            raise WrongDigest(f"{name} is not what its digest says", expected=descriptor.digest, actual=actual)
        return data

    def open_blob(self, digest: Digest, start: int) -> contextlib.AbstractContextManager[httpx.Response]:
        """A blob from byte `start` on, if the registry is willing: status 206, else 200 and the whole, or 416.

        Raises RegistryError, and TryAgain for what may pass.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        return self._open(f"blobs/{digest}", f"blob {digest.short}", headers, fine=(200, 206, 416) if start else (200,))

    def tag_names(self) -> list[str]:
        """The tags there are, page by page, up to some twenty thousand. What may not be called a tag is left out."""
        names: list[str] = []
        path = "tags/list?n=1000"
        while len(names) < _TAGS_MAX:
            data, headers = self._read(path, f"repository {self._reference.familiar_repository}", {})
            try:
                page = [name for name in Fields.of_document(data, "list of tags").texts("tags") if is_tag(name)]
            except BadManifest as error:
                raise RegistryError(f"{self.endpoint.name} answers with what is no list of tags: {error}") from None
            names += page
            following = _NEXT_PAGE.search(headers.get("link", "")[:_LINK_LENGTH_MAX])
            if not following or not page:
                break
            # Only its query counts: the next page is at the same place.
            path = f"tags/list?{httpx.QueryParams(following[1].partition('?')[2])}"
        return list(dict.fromkeys(names))[:_TAGS_MAX]

    def _read(self, path: str, what: str, headers: Mapping[str, str]) -> tuple[bytes, httpx.Headers]:
        patience = Patience()
        while True:
            try:
                with self._open(path, what, headers) as answer:
                    return read_small(answer, DOCUMENT_BYTES_MAX), answer.headers
            except TryAgain as again:
                patience.wait(again)

    @contextlib.contextmanager
    def _open(
        self, path: str, what: str, headers: Mapping[str, str], fine: tuple[int, ...] = (200,)
    ) -> Iterator[httpx.Response]:
        """An answer whose status is one of `fine`, after proving who we are if that was wanted."""
        said = self._authorization.header
        for is_second_try in (False, True):
            with self._ask(path, headers, said) as answer:
                if answer.status_code in fine:
                    yield answer
                    return
                if answer.status_code != 401 or is_second_try or not self._authorization.improve(answer, said):
                    raise self._authorization.explained(refuse(answer, what, self._reference.familiar_repository))
            said = self._authorization.header

    @contextlib.contextmanager
    def _ask(self, path: str, headers: Mapping[str, str], authorization: str) -> Iterator[httpx.Response]:
        """Send a request; the first one finds out whether the endpoint speaks TLS."""
        host = self.endpoint.host
        bases = [self._base] if self._base else [httpx.URL(f"{scheme}://{host}") for scheme in self.endpoint.schemes]
        with contextlib.ExitStack() as stack:
            for base in bases:
                is_last = base == bases[-1]
                try:
                    url = base.join(f"/v2/{self._reference.repository}/{path}")
                    answer = stack.enter_context(self._wire.send("GET", url, headers, authorization=authorization))
                    # Servers that speak TLS only say so with a 400 (Go, nginx), or hang up.
                    if is_last or answer.status_code != 400:
                        self._base = base
                        break
                    stack.close()
                except (RegistryUnreachable, TryAgain):
                    if is_last:
                        raise
            yield answer


def _digest_of(headers: httpx.Headers) -> Digest | None:
    text = headers.get("docker-content-digest", "")
    return Digest.parse(text) if text.startswith("sha256:") else None
