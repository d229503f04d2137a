"""Manifests and indexes from registries that mean no good, and the choice of an image for a platform.

Runs in:    pytest.
"""

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pyck_magic.model.errors import BadManifest, NoSuchImage, PyckError, UnsupportedMedia
from pyck_magic.model.manifest import INDEX_TYPES, MANIFEST_TYPES, Descriptor, Index, Manifest, choose, parse_document
from pyck_magic.model.platform import Platform
from tests.unit.test_config import anything, damaged

OCI, DOCKER = MANIFEST_TYPES
OCI_INDEX, DOCKER_INDEX = INDEX_TYPES
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}


def descriptor(media_type: str, number: int = 1, **fields: object) -> dict[str, Any]:
    """What can be fetched; its digest is made of the number alone."""
    return {"mediaType": media_type, "digest": f"sha256:{number:064x}", "size": number, **fields}


def manifest(**fields: object) -> dict[str, Any]:
    """A sound manifest with two layers, but for these fields. None is written as null."""
    config = descriptor("application/vnd.oci.image.config.v1+json", 7)
    return {"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [descriptor(GZIP), descriptor(GZIP, 2)], **fields}


def entry(platform: str, number: int = 1, media_type: str = OCI, **fields: object) -> dict[str, Any]:
    """One image of an index. Without a platform it says nothing of it."""
    said = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    return descriptor(media_type, number, **({"platform": said} if platform else {}), **fields)


def index(*entries: object, **fields: object) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries), **fields}


def read(document: object, content_type: str | None = None) -> Index | Manifest:
    return parse_document(json.dumps(document).encode(), content_type)


def chosen(platform: Platform, *entries: object) -> int:
    """The number of the entry that is chosen."""
    found = read(index(*entries))
    assert isinstance(found, Index)
    return choose(found, platform).size


@pytest.mark.parametrize("content_type", [None, "", OCI, f"{OCI}; charset=utf-8", f" {OCI.upper()} ;x", "application/json", "?"])
def test_a_sound_manifest_is_read(content_type: str | None) -> None:
    """The type it came with may be missing, general, or have parameters."""
    found = read(manifest(annotations={"a": "b"}), content_type)
    assert isinstance(found, Manifest)
    assert (found.media_type, found.annotations, found.config.size) == (OCI, {"a": "b"}, 7)
    assert [(layer.media_type, layer.digest.short, layer.size) for layer in found.layers] == [
        (GZIP, "000000000000", 1), (GZIP, "000000000000", 2),
    ]  # fmt: skip


def test_dockers_types_are_read_like_ocis() -> None:
    """Schema 2 differs in the names of types only, and without one of its own a document is what it was sent as."""
    config = descriptor("application/vnd.docker.container.image.v1+json")
    foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls=["https://a.example/x"])
    found = read(manifest(mediaType=None, config=config, layers=[foreign]), DOCKER)
    assert isinstance(found, Manifest)
    assert found.media_type == DOCKER
    assert found.layers[0].urls == ("https://a.example/x",)
    assert isinstance(read(index(mediaType=DOCKER_INDEX), DOCKER_INDEX), Index)
    assert read(manifest(layers=[])) == read(manifest(layers=[], manifests=None))


@pytest.mark.parametrize(
    ("document", "content_type", "error", "message"),
    [
        (manifest(manifests=[]), None, BadManifest, "both an index and a manifest"),
        (index(layers=[]), None, BadManifest, "both an index and a manifest"),
        (index(config={}, mediaType=None), DOCKER_INDEX, BadManifest, "both an index and a manifest"),
        (manifest(), OCI_INDEX, BadManifest, "not of the type it was sent as"),
        (index(), f"{OCI};charset=utf-8", BadManifest, "not of the type it was sent as"),
        (manifest(mediaType=OCI_INDEX), None, BadManifest, "not what its type says"),
        (manifest(mediaType=None), DOCKER_INDEX, BadManifest, "not what its type says"),
        (index(mediaType=None), OCI, BadManifest, "not what its type says"),
        (manifest(), "text/html; charset=utf-8", BadManifest, "answered with a web page"),
        (manifest(mediaType=GZIP), None, UnsupportedMedia, "is no image"),
        (manifest(mediaType="\x1b[2J<b>"), None, UnsupportedMedia, "'\\x1b[2J<b>' is no image"),
        (manifest(mediaType=7), None, BadManifest, "manifest.mediaType is not a string: 7"),
        ({"schemaVersion": 1, "fsLayers": []}, None, UnsupportedMedia, "schema 1"),
        (manifest(fsLayers=[]), OCI, UnsupportedMedia, "schema 1"),
        ({"schemaVersion": 1}, "application/vnd.docker.distribution.manifest.v1+prettyjws", UnsupportedMedia, "schema 1"),
        (manifest(mediaType="application/vnd.docker.distribution.manifest.v1+json"), None, UnsupportedMedia, "schema 1"),
        (manifest(schemaVersion=1), None, BadManifest, "schemaVersion is not 2"),
        (manifest(schemaVersion=None), None, BadManifest, "schemaVersion is not a size: missing"),
        (manifest(schemaVersion=2.0), None, BadManifest, "schemaVersion is not a size: float"),
        ({"schemaVersion": 2}, None, BadManifest, "manifest.config is missing"),
        (manifest(config=[]), None, BadManifest, "manifest.config is not an object: list"),
        (manifest(config={}), None, BadManifest, "manifest.config.mediaType is not a string: missing"),
        (manifest(layers=None), None, BadManifest, "manifest.layers is not a list: missing"),
        (manifest(layers=[None]), None, BadManifest, "manifest.layers[0] is not an object: missing"),
        (manifest(layers=[descriptor(GZIP), "sha256:0"]), None, BadManifest, "layers[1] is not an object: 'sha256:0'"),
        (manifest(layers=[[[]]]), None, BadManifest, "manifest.layers[0] is not an object: list"),
        (manifest(layers=[descriptor(GZIP, urls=[7])]), None, BadManifest, "layers[0].urls[0] is not a string: 7"),
        (manifest(layers=[descriptor(GZIP, annotations={"a": {}})]), None, BadManifest, "layers[0].annotations is not a string"),
        (manifest(layers=[descriptor("application/vnd.oci.image.layer.v1.tar+xz")]), None, UnsupportedMedia, "is no layer"),
        (manifest(layers=[descriptor("application/vnd.in-toto+json")]), None, UnsupportedMedia, "'application/vnd.in-toto+json'"),
        (index(None), None, BadManifest, "manifest.manifests[0] is not an object: missing"),
        (index(entry("linux")), None, BadManifest, "manifests[0].platform.architecture is not a string: missing"),
        (index(entry("linux/\x1b[1m")), None, BadManifest, "platform.architecture is not a plain word: '\\x1b[1m'"),
        (index(entry("linux/" + "x" * 65)), None, BadManifest, "platform.architecture is not a plain word"),
    ],
)  # fmt: skip
def test_a_hostile_document_is_refused(document: object, content_type: str | None, error: type[Exception], message: str) -> None:
    """It says what is wrong and where, without anything that could draw on a screen."""
    with pytest.raises(error) as caught:
        read(document, content_type)
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("digest", None, "digest is not a string: missing"),
        ("digest", "../../etc/passwd", "is no digest"),
        ("digest", "sha256:../../../../etc/passwd", "is no SHA-256 digest"),
        ("digest", "sha256:" + "A" * 64, "is no SHA-256 digest"),
        ("digest", "sha256:" + "0" * 63 + "\n", "is no SHA-256 digest"),
        ("digest", "sha256:" + "0" * 65, "is no SHA-256 digest"),
        ("digest", "sha512:" + "0" * 128, "'sha512' digests are not supported"),
        ("digest", "..:" + "0" * 64, "'..' digests are not supported"),
        ("size", None, "size is not a size: missing"),
        ("size", -1, "size is not a size: -1"),
        ("size", 1 << 63, "size is not a size: 9223372036854775808"),
        ("size", "7", "size is not a size: '7'"),
        ("size", True, "size is not a size: True"),
        ("mediaType", None, "mediaType is not a string: missing"),
        ("mediaType", "a\0b", "mediaType contains a NUL character"),
        ("platform", [], "platform is not an object: list"),
    ],
)  # fmt: skip
def test_a_descriptor_is_believed_nothing(field: str, value: object, message: str) -> None:
    """A digest holds a SHA-256 and never a path, and a size is one that a file can have, in layer, config and index alike."""
    broken = descriptor(GZIP) | {field: value}
    for document in (manifest(layers=[broken]), manifest(config=broken), index(broken)):
        with pytest.raises(BadManifest) as caught:
            read(document)
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("config_type", "artifact_type", "shown"),
    [
        ("application/vnd.cncf.helm.config.v1+json", None, "application/vnd.cncf.helm.config.v1+json"),
        ("application/vnd.oci.empty.v1+json", "application/vnd.example.sbom", "application/vnd.example.sbom"),
        ("application/vnd.docker.plugin.v1+json", None, "application/vnd.docker.plugin.v1+json"),
    ],
)
def test_an_artifact_is_no_image(config_type: str, artifact_type: str | None, shown: str) -> None:
    """Charts, signatures and plugins are named as what they are, with a hint."""
    with pytest.raises(UnsupportedMedia, match="no image but an artifact") as caught:
        read(manifest(config=descriptor(config_type), artifactType=artifact_type))
    assert shown in str(caught.value)
    assert "helm" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", "the manifest is no JSON"),
        (b"[" * 200_000, "the manifest is no JSON"),
        (b'{"a":' * 200_000, "the manifest is no JSON"),
        (b'{"size": ' + b"9" * 5000 + b"}", "the manifest is no JSON"),
        (b'{"a": "\xff"}', "the manifest is no JSON"),
        (b'{"a": "\xed\xa0\x80"}', "the manifest is no JSON"),
        (rb'{"a": "\ud800"}', "the manifest is no JSON"),
        (rb'{"\uDC00": 1}', "the manifest is no JSON"),
        (json.dumps(manifest()).encode("utf-16"), "the manifest is no JSON"),
        (json.dumps(manifest()).encode() + b"x", "the manifest is no JSON"),
        (b"[]", "the manifest is no JSON object"),
    ],
    ids=lambda given: given[:12],
)  # fmt: skip
def test_what_is_no_json_object_is_refused(data: bytes, message: str) -> None:
    """Nesting without end, other encodings than UTF-8 and halves of characters are as bad as no JSON."""
    with pytest.raises(BadManifest, match=message):
        parse_document(data, OCI)


def test_a_document_has_at_most_four_mebibytes() -> None:
    """One byte more is refused, unread."""
    data = json.dumps(manifest()).encode()
    assert isinstance(parse_document(data.ljust(4 << 20), OCI), Manifest)
    with pytest.raises(BadManifest, match="larger than 4 MiB"):
        parse_document(b"x".ljust((4 << 20) + 1), OCI)


@pytest.mark.parametrize(
    ("platform", "entries", "number"),
    [
        (ARM64, [entry("linux/amd64", 1), entry("linux/arm64/v8", 2)], 2),
        (AMD64, [entry("linux/amd64", 1), entry("linux/amd64", 2)], 1),
        (AMD64, [entry("linux/amd64/v2", 1), entry("linux/amd64/v1", 2)], 2),
        (Platform("linux", "amd64", "v3"), [entry("linux/amd64", 1), entry("linux/amd64/v3", 2), entry("linux/amd64/v2", 3)], 2),
        (Platform("linux", "arm"), [entry("linux/arm/v5", 1), entry("linux/arm/v6", 2), entry("linux/arm64", 3)], 2),
        (AMD64, [entry("windows/amd64", 1), entry("unknown/unknown", 2, annotations=ATTESTATION), entry("linux/x86_64", 3)], 3),
        (AMD64, [entry("linux/amd64", 1, GZIP), entry("linux/amd64", 2, DOCKER)], 2),
        # What says nothing of its platform is taken only if nothing else fits.
        (AMD64, [entry("", 1), entry("linux/amd64", 2)], 2),
        (AMD64, [entry("linux/arm64", 1), entry("", 2), entry("", 3)], 2),
        (AMD64, [entry("", 1, annotations=ATTESTATION), entry("", 2, OCI_INDEX)], 2),
    ],
)  # fmt: skip
def test_the_image_for_a_platform(platform: Platform, entries: list[object], number: int) -> None:
    """The newest variant that runs, of several such the first; never an attestation or what is no image."""
    assert chosen(platform, *entries) == number


@pytest.mark.parametrize(
    ("entries", "hint"),
    [
        ([], ""),
        ([entry("", annotations=ATTESTATION), entry("unknown/unknown"), entry("/")], ""),
        ([entry("linux/arm64"), entry("linux/arm64/v8"), entry("linux/arm/v6")],
         "it is there for linux/arm64, linux/arm/v6; `--platform linux/arm64` takes one of them"),
        ([entry("windows/amd64"), entry("linux/arm64/v8.2")],
         "it is there for windows/amd64, linux/arm64/v8.2; `--platform linux/arm64/v8.2` takes one of them"),
        ([entry("windows/amd64")], "it is there for windows/amd64"),
    ],
)  # fmt: skip
def test_no_image_for_a_platform(entries: list[object], hint: str) -> None:
    """The error names the platforms there are, and an option only if it would be taken."""
    with pytest.raises(NoSuchImage, match="no matching manifest for linux/amd64 in the manifest list entries") as caught:
        chosen(AMD64, *entries)
    assert caught.value.hint == hint
    if "`" in hint:
        Platform.parse(hint.split("`")[1].removeprefix("--platform "))


whole = some.sampled_from([manifest(annotations={"a": "b"}), index(entry("linux/arm64/v8", annotations={"a": "b"}), entry(""))])
types = some.sampled_from([None, "application/json", *MANIFEST_TYPES, *INDEX_TYPES]) | some.text(max_size=9)


@settings(deadline=None, max_examples=300)
@given(whole.flatmap(damaged) | anything, types)
def test_whatever_comes_is_understood_or_refused(data: bytes, content_type: str | None) -> None:
    """Nothing but our own errors comes out, in words that can be shown, and what was understood can be written down."""
    try:
        found = parse_document(data, content_type)
        json.dumps(asdict(found), ensure_ascii=False).encode()
        if isinstance(found, Index):
            assert isinstance(choose(found, AMD64), Descriptor)
    except PyckError as error:
        assert str(error).isprintable()
