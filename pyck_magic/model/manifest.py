"""What a registry knows of an image: a manifest lists its config and layers, an index its manifests for many platforms.

Runs in: the notebook kernel. Formats: OCI image specification 1.1 (manifest.md, image-index.md, descriptor.md) and Docker's
manifest v2 schema 2, which differ in the media types only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyck_magic.model.config import HistoryEntry, ImageConfig
from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BadManifest, NoSuchImage, UnsupportedMedia
from pyck_magic.model.platform import Platform
from pyck_magic.model.untrusted import Fields

__all__ = [
    "INDEX_TYPES", "MANIFEST_TYPES", "Descriptor", "HistoryEntry", "ImageConfig", "Index", "Manifest", "choose", "images_in",
    "parse_document",
]  # fmt: skip

_DOCKER = "application/vnd.docker."
_OCI = "application/vnd.oci.image."

MANIFEST_TYPES = (f"{_OCI}manifest.v1+json", f"{_DOCKER}distribution.manifest.v2+json")
INDEX_TYPES = (f"{_OCI}index.v1+json", f"{_DOCKER}distribution.manifest.list.v2+json")
_CONFIG_TYPES = (f"{_OCI}config.v1+json", f"{_DOCKER}container.image.v1+json")
_LAYER_TYPES = frozenset(
    [f"{_OCI}layer.{kind}tar{packed}" for kind in ("v1.", "nondistributable.v1.") for packed in ("", "+gzip", "+zstd")]
    + [f"{_DOCKER}image.rootfs.{kind}tar{packed}" for kind in ("diff.", "foreign.diff.") for packed in ("", ".gzip", ".zstd")]
)
# Schema 1 had its own types, and registries that send it often call it application/json.
_SCHEMA_1 = f"{_DOCKER}distribution.manifest.v1+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What can be fetched: its type, digest and size in bytes. `urls` are other places it may be found at."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """One name for the same image on many platforms."""

    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One image on one platform: its config, and its layers, base first."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)


def parse_document(data: bytes, content_type: str | None) -> Index | Manifest:
    """Read an index or a manifest. `content_type` is the header it came with, None if it comes from our own disk.

    A document that could be read as both is refused (CVE-2021-41190), and so is one that another type was announced for.
    Raises BadManifest, and UnsupportedMedia for schema 1, artifacts that are no image, and layers we cannot unpack.
    """
    announced = (content_type or "").partition(";")[0].strip().lower()
    if announced == "text/html":
        raise BadManifest(
            "the registry answered with a web page", expected="manifest", actual=announced,
            hint="check the registry's address; a proxy or a login page may stand before it",
        )  # fmt: skip
    fields = Fields.of_document(data, "manifest")
    own_type = fields.text("mediaType", "")
    _refuse_schema_1(fields, announced, own_type)
    known = MANIFEST_TYPES + INDEX_TYPES
    if own_type and own_type not in known:
        raise UnsupportedMedia(f"{own_type[:80]!a} is no image", expected=MANIFEST_TYPES[0], actual=own_type)
    if own_type and announced in known and own_type != announced:
        raise BadManifest("the manifest is not of the type it was sent as", expected=announced, actual=own_type)
    media_type = own_type or (announced if announced in known else "")
    is_index, is_manifest = "manifests" in fields, "layers" in fields or "config" in fields
    if is_index and is_manifest:
        raise BadManifest("the manifest is both an index and a manifest")
    if media_type and (media_type in INDEX_TYPES) != is_index:
        shape = "index" if is_index else "manifest"
        raise BadManifest("the manifest is not what its type says", expected=media_type, actual=shape)
    if is_index:
        return Index(manifests=tuple(_descriptor(one) for one in fields.each("manifests")))
    return _manifest(fields, media_type or MANIFEST_TYPES[0])


def images_in(index: Index) -> list[Descriptor]:
    """The entries that are images, of whatever platform: no attestations, no other companions."""
    return [one for one in index.manifests if _is_image(one)]


def choose(index: Index, platform: Platform) -> Descriptor:
    """The entry of an index for this platform: of several that run the newest variant, of several such the first.

    Attestations and other companions are skipped. Raises NoSuchImage that names the platforms there are.
    """
    images = images_in(index)
    fitting = [one for one in images if one.platform is not None and platform.runs(one.platform)]
    # An entry that says nothing of its platform may fit: the image's config will tell.
    fitting = fitting or [one for one in images if one.platform is None]
    if fitting:
        return max(fitting, key=lambda one: one.platform.normal.level if one.platform else 0)
    there_are = list(dict.fromkeys(name for one in images if one.platform and (name := str(one.platform.normal))))
    hint = f"it is there for {', '.join(there_are[:20])}" if there_are else ""
    if usable := [name for name in there_are if name.startswith("linux/")]:
        hint += f"; `--platform {usable[0]}` takes one of them"
    raise NoSuchImage(f"no matching manifest for {platform} in the manifest list entries", hint=hint)


def _refuse_schema_1(fields: Fields, announced: str, own_type: str) -> None:
    if announced.startswith(_SCHEMA_1) or own_type.startswith(_SCHEMA_1) or "fsLayers" in fields:
        raise UnsupportedMedia(
            "the image is in Docker's schema 1, which is no longer supported",
            expected=MANIFEST_TYPES[0],
            actual=own_type or announced,
            hint="push it again with a Docker of this decade, or ask its publisher to",
        )
    if fields.number("schemaVersion") != 2:
        raise BadManifest("manifest.schemaVersion is not 2", expected=2, actual=fields.number("schemaVersion"))


def _manifest(fields: Fields, media_type: str) -> Manifest:
    if "config" not in fields:
        raise BadManifest("manifest.config is missing")
    config = _descriptor(fields.inner("config"))
    if config.media_type not in _CONFIG_TYPES:
        kind = fields.text("artifactType", "") or config.media_type
        raise UnsupportedMedia(
            f"this is no image but an artifact of type {kind[:80]!a}", expected=_CONFIG_TYPES[0], actual=kind,
            hint="it was pushed by another tool (helm, oras, cosign): fetch it with that",
        )  # fmt: skip
    layers = tuple(_descriptor(one) for one in fields.each("layers", needed=True))
    for layer in layers:
        if layer.media_type not in _LAYER_TYPES:
            raise UnsupportedMedia(
                f"layer {layer.digest.short} is of type {layer.media_type[:80]!a}, which is no layer of an image",
                expected=f"{_OCI}layer.v1.tar+gzip", actual=layer.media_type,
            )  # fmt: skip
    return Manifest(media_type=media_type, config=config, layers=layers, annotations=fields.table("annotations"))


def _descriptor(fields: Fields) -> Descriptor:
    platform = fields.inner("platform") if "platform" in fields else None
    return Descriptor(
        media_type=fields.text("mediaType"),
        digest=Digest.parse(fields.text("digest")),
        size=fields.number("size"),
        platform=Platform(platform.word("os"), platform.word("architecture"), platform.word("variant", "")) if platform else None,
        annotations=fields.table("annotations"),
        urls=fields.texts("urls"),
    )


def _is_image(entry: Descriptor) -> bool:
    """Not an attestation (BuildKit, attestation-storage.md), nor an artifact that was put beside the images."""
    return (
        entry.media_type in MANIFEST_TYPES + INDEX_TYPES
        and "vnd.docker.reference.type" not in entry.annotations
        and not (entry.platform and "unknown" in (entry.platform.os, entry.platform.architecture))
    )
