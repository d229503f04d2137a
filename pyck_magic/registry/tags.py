"""What a repository offers: its tags, and what stands behind them.

Runs in:    the notebook kernel, on any thread.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches

from pyck_magic.model.config import ImageConfig
from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BrokenContent, NoSuchImage, RegistryError
from pyck_magic.model.manifest import Index, Manifest, choose, images_in, parse_document
from pyck_magic.model.platform import Platform
from pyck_magic.model.reference import Reference
from pyck_magic.registry.repository import Repository

_AT_ONCE = 8
_SUGGESTED = 5
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class TagInfo:
    """One tag. `size_bytes` is what a pull on this platform would download. What was not looked at is None, or empty."""

    tag: str
    created: datetime | None = None
    size_bytes: int | None = None
    platforms: tuple[str, ...] = ()
    digest: Digest | None = None


def offered(repository: Repository, reference: Reference, most: int) -> tuple[TagInfo, ...]:
    """All tags, newest first. What stands behind them is looked up for so many of them, those of the highest versions.

    A look takes up to three requests. Raises RegistryError.
    """
    names = sorted(repository.tag_names(), key=_by_version, reverse=True)
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pyck-tags") as threads:
        found = list(threads.map(lambda name: _look(repository, reference, name), names[:most]))
    found.sort(key=lambda one: one.created or _LONG_AGO, reverse=True)
    return (*found, *(TagInfo(tag=name) for name in names[most:]))


def spelled_alike(reference: Reference, names: Sequence[str]) -> str:
    """A hint for a tag that is not there: those spelled like it; empty for `latest`, which nobody misspells, or if none is."""
    near = get_close_matches(reference.tag or "", names, n=3, cutoff=0.6) if reference.tag != "latest" else []
    return f"did you mean {' or '.join(f'{reference.familiar_repository}:{name}' for name in near)}?" if near else ""


def newest_of(reference: Reference, found: Sequence[TagInfo]) -> str:
    """A hint that names the newest of the tags there are."""
    names = ", ".join(one.tag for one in found[:_SUGGESTED])
    return f"the newest tags are {names}; `pyck tags {reference.familiar_repository}` lists all" if names else ""


def _by_version(tag: str) -> tuple[object, ...]:
    """A key by which 3.10 is higher than 3.9, `latest` highest, and names without numbers lowest."""
    parts = [(int(part[:18]) if part.isdigit() else -1, part) for part in re.findall(r"[0-9]+|[^0-9]+", tag)]
    return tag == "latest", parts[0][0] >= 0, parts


def _look(repository: Repository, reference: Reference, tag: str) -> TagInfo:
    named = Reference(reference.registry, reference.repository, tag)
    try:
        data, content_type = repository.manifest(named)
        document = parse_document(data, content_type)
        digest = Digest.of(data)
        if isinstance(document, Index):
            platforms = tuple(dict.fromkeys(str(one.platform.normal) for one in images_in(document) if one.platform))
            manifest = _manifest_of(repository, named, document)
        else:
            platforms, manifest = (), document
        if manifest is None:
            return TagInfo(tag=tag, platforms=platforms, digest=digest)
        config = ImageConfig.parse(repository.small_blob(manifest.config))
        return TagInfo(
            tag=tag, created=config.created, size_bytes=sum(layer.size for layer in manifest.layers),
            platforms=platforms or (str(config.platform.normal),), digest=digest,
        )  # fmt: skip
    except (RegistryError, BrokenContent):
        return TagInfo(tag=tag)  # an artifact, or gone meanwhile: its name is all there is to say


def _manifest_of(repository: Repository, named: Reference, index: Index) -> Manifest | None:
    """The index's image for this machine, else its first; None if there is none."""
    try:
        entry = choose(index, Platform.here())
    except NoSuchImage:
        others = images_in(index)
        if not others:
            return None
        entry = others[0]
    document = parse_document(*repository.manifest(named.with_digest(entry.digest)))
    return document if isinstance(document, Manifest) else None
