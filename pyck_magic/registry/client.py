"""The door to all registries: what a name means, and the bytes it stands for.

Runs in:    the notebook kernel, on any thread.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pyck_magic.model.config import ImageConfig
from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BadManifest, BrokenContent, NoSuchImage, PyckError, RegistryError
from pyck_magic.model.manifest import Descriptor, Index, Manifest, choose, parse_document
from pyck_magic.model.platform import Platform
from pyck_magic.model.reference import DOCKER_HUB, Reference
from pyck_magic.registry import hub
from pyck_magic.registry.credentials import Keyring
from pyck_magic.registry.download import Place, download
from pyck_magic.registry.repository import Repository
from pyck_magic.registry.settings import RegistrySettings
from pyck_magic.registry.tags import TagInfo, newest_of, offered, spelled_alike
from pyck_magic.registry.wire import Wire

_INDEX_DEPTH_MAX = 3
_LOOKED_AT_MAX, _LOOKED_AT_FOR_A_HINT = 50, 10

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a name stands for on one platform. Both documents are here as they were served, and verified.

    `digest` is the manifest's, `index_digest` that of the index which led to it, if one did. `served_by` names the
    endpoint that answered.
    """

    reference: Reference
    digest: Digest
    index_digest: Digest | None
    manifest: Manifest
    manifest_bytes: bytes
    config: ImageConfig
    config_bytes: bytes
    served_by: str


class Registry:
    """All registries, as this machine is configured for them. Safe to share between threads; close it when done."""

    def __init__(self, settings: RegistrySettings | None = None, keyring: Keyring | None = None) -> None:
        self._settings = settings or RegistrySettings.read()
        self._keyring = keyring or Keyring()
        self._wire = Wire(self._settings)
        self._repositories: dict[tuple[str, str], tuple[Repository, ...]] = {}
        self._from_mirrors: set[Digest] = set()

    def resolve(self, reference: Reference, platform: Platform) -> Resolved:
        """Find the manifest and config of an image for a platform; no layer is touched.

        Raises NoSuchImage (with tags there are, as its hint), Unauthorized, RateLimited, RegistryError, BrokenContent.
        """
        try:
            return self._first(reference, lambda repository: _resolve(repository, reference, platform))
        except NoSuchImage as error:
            if reference.tag and error.status == 404:
                error.hint = self._tags_instead(reference) or error.hint
            raise

    def fetch_blob(
        self, reference: Reference, descriptor: Descriptor, place: Place, *, note: Callable[[str], None] | None = None
    ) -> bool:
        """Stream a blob into `place`, from where that ends; a mirror that fails gives way to the next endpoint.

        Returns whether it came from a mirror: who asks for it again has found it wrong, and gets the registry's own.
        Raises RegistryError, WrongSize, and what `place.write` raises.
        """
        *mirrors, origin = self._endpoints(reference)
        for repository in mirrors if descriptor.digest not in self._from_mirrors else ():
            try:
                if note:
                    note(f"from {repository.endpoint.name}")
                download(repository, descriptor, place, note)
                self._from_mirrors.add(descriptor.digest)
                return True
            except (RegistryError, BrokenContent) as error:
                if note:
                    note(f"{error}; now from {origin.endpoint.name}")
        download(origin, descriptor, place, note)
        return False

    def tags(self, reference: Reference) -> tuple[TagInfo, ...]:
        """What a repository offers, newest first. Raises RegistryError."""
        return self._offered(reference, _LOOKED_AT_MAX)

    def close(self) -> None:
        """Close all connections."""
        self._wire.close()

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _endpoints(self, reference: Reference) -> tuple[Repository, ...]:
        """The repository at each mirror that may have it, and last at the registry itself."""
        key = (reference.registry, reference.repository)
        if key not in self._repositories:
            self._repositories[key] = tuple(
                Repository(self._wire, endpoint, reference, self._keyring)
                for endpoint in self._settings.endpoints(reference.registry)
            )
        return self._repositories[key]

    def _first(self, reference: Reference, ask: Callable[[Repository], Found]) -> Found:
        """The answer of the first endpoint that has one. Mirrors may be down, or lack what we want."""
        endpoints = self._endpoints(reference)
        for at, repository in enumerate(endpoints[:-1]):
            with contextlib.suppress(RegistryError, BrokenContent):
                found = ask(repository)
                # Who has failed is not asked for layers: each would wait for it again.
                self._repositories[reference.registry, reference.repository] = endpoints[at:]
                return found
        found = ask(endpoints[-1])
        self._repositories[reference.registry, reference.repository] = endpoints[-1:]
        return found

    def _offered(self, reference: Reference, most: int) -> tuple[TagInfo, ...]:
        def ask(repository: Repository) -> tuple[TagInfo, ...]:
            if repository.endpoint.name == DOCKER_HUB:
                return hub.offered(self._wire, reference)
            return offered(repository, reference, most)

        return self._first(reference, ask)

    def _tags_instead(self, reference: Reference) -> str:
        try:
            alike = spelled_alike(reference, self._first(reference, Repository.tag_names))
            return alike or newest_of(reference, self._offered(reference, _LOOKED_AT_FOR_A_HINT))
        except PyckError:
            return ""


def _resolve(repository: Repository, reference: Reference, platform: Platform) -> Resolved:
    outermost: Digest | None = None
    wanted = reference
    for _depth in range(_INDEX_DEPTH_MAX):
        data, content_type = repository.manifest(wanted)
        document = parse_document(data, content_type)
        if isinstance(document, Manifest):
            config_bytes = repository.small_blob(document.config)
            config = ImageConfig.parse(config_bytes)
            _check_platform(config, platform, reference)
            return Resolved(
                reference=reference, digest=Digest.of(data), index_digest=outermost, manifest=document, manifest_bytes=data,
                config=config, config_bytes=config_bytes, served_by=repository.endpoint.name,
            )  # fmt: skip
        outermost = outermost or Digest.of(data)
        wanted = reference.with_digest(_chosen(document, platform, reference).digest)
    raise BadManifest(f"{reference.familiar} is an index of indexes without end")


def _chosen(index: Index, platform: Platform, reference: Reference) -> Descriptor:
    try:
        return choose(index, platform)
    except NoSuchImage as error:
        raise NoSuchImage(f"{reference.familiar}: {error}", hint=error.hint) from None


def _check_platform(config: ImageConfig, platform: Platform, reference: Reference) -> None:
    """An image without an index says only in its config what it was built for."""
    if not platform.runs(config.platform):
        raise NoSuchImage(
            f"{reference.familiar} is built for {config.platform}, which {platform} cannot run",
            hint=f"look for another tag or image; `--platform {config.platform.normal}` takes this one all the same",
        )
