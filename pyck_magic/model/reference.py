"""What an image is called: registry, repository, and a tag or a digest.

Runs in: everywhere.

The grammar is that of the distribution project (reference/reference.go); short names mean what they mean to Docker.
"""

import re
from typing import NamedTuple

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BadManifest, BadReference

DOCKER_HUB = "docker.io"
_OFFICIAL = "library/"
_REPOSITORY_LENGTH_MAX = 255

_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_COMPONENT = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE_ID = re.compile("[0-9a-f]{64}")


class Reference(NamedTuple):
    """`docker.io/library/alpine:3.20` in its parts. With a digest, that decides, and the tag only says where it was found."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a reference in any of its forms. Without tag and digest the tag is `latest`. Raises BadReference."""
        name, at, digest_text = text.partition("@")
        digest = _digest(digest_text, text) if at else None
        head, colon, tail = name.rpartition(":")
        tag: str | None = None
        if colon and "/" not in tail:  # else it is a port's colon
            name, tag = head, tail
            if not _TAG.fullmatch(tag):
                raise _bad(text, f"{tag[:80]!a} is no tag", "a tag has at most 128 letters, digits, `_`, `.` and `-`")
        registry, repository = _split(name)
        if not _REGISTRY.fullmatch(registry):
            raise _bad(text, f"{registry[:80]!a} is no registry")
        _check_repository(registry, repository, text, name)
        return cls(registry, repository, tag if tag or digest else "latest", digest)

    def with_digest(self, digest: Digest) -> "Reference":
        """The same repository and tag, pinned to a digest."""
        return self._replace(digest=digest)

    @property
    def familiar_repository(self) -> str:
        """The repository as Docker shows it: `alpine`, `ncbi/blast`, `localhost:5000/tiny`."""
        if self.registry != DOCKER_HUB:
            return f"{self.registry}/{self.repository}"
        short = self.repository.removeprefix(_OFFICIAL)
        # What Docker would read as a registry is not shortened into one (docker.io/a.b/c stays as it is).
        return f"{DOCKER_HUB}/{self.repository}" if _split(short) != (DOCKER_HUB, self.repository) else short

    @property
    def familiar(self) -> str:
        """The reference as Docker shows it: `alpine:3.20`."""
        return self.familiar_repository + self._ending

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}{self._ending}"

    @property
    def _ending(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def is_tag(text: str) -> bool:
    """Whether a tag may be called so."""
    return _TAG.fullmatch(text) is not None


def _split(name: str) -> tuple[str, str]:
    """Registry and repository. The first part is a registry if it looks like a host: a dot, a port, `localhost`, capitals."""
    first, slash, rest = name.partition("/")
    if not slash or (not {".", ":"} & set(first) and first != "localhost" and first == first.lower()):
        first, rest = DOCKER_HUB, name
    if first == "index.docker.io":
        first = DOCKER_HUB
    if first == DOCKER_HUB and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest


def _check_repository(registry: str, repository: str, text: str, name: str) -> None:
    if registry == DOCKER_HUB and _IMAGE_ID.fullmatch(repository.removeprefix(_OFFICIAL)):
        raise BadReference(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings",
            hint="this looks like an image ID: a registry knows images by name, or as NAME@sha256:…",
        )
    if not _REPOSITORY.fullmatch(repository):
        if _REPOSITORY.fullmatch(repository.lower()):
            hint = f"did you mean {name.lower()}{text[len(name) :]}?"
            raise _bad(text, f"repository name ({repository}) must be lowercase", hint)
        raise _bad(text)
    if len(repository) > _REPOSITORY_LENGTH_MAX:
        raise _bad(text, f"repository name must not be more than {_REPOSITORY_LENGTH_MAX} characters")


def _digest(digits: str, text: str) -> Digest:
    try:
        return Digest.parse(digits)
    except BadManifest as error:
        raise _bad(text, str(error), "a digest is written sha256: and 64 hex digits") from None


def _bad(text: str, why: str = "", hint: str = "write it as [REGISTRY/]NAME[:TAG][@DIGEST], such as alpine:3.20") -> BadReference:
    return BadReference(f"invalid reference format: {why or ascii(text[:200])}", hint=hint)
