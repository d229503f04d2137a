"""From a name to a manifest and a config, whatever the registry answers."""

import json
import re

import pytest

from pyck_magic.model.errors import (
    BadManifest,
    BrokenContent,
    NoSuchImage,
    PyckError,
    RegistryError,
    UnsupportedMedia,
    WrongDigest,
    WrongSize,
)
from pyck_magic.model.platform import Platform
from pyck_magic.model.reference import Reference
from pyck_magic.registry import Registry, Resolved
from tests.registry.lying import DOCKER, OCI, Fault, LyingRegistry, body, digest_of, endless, redirect, status

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def resolve(client: Registry, lying: LyingRegistry, name: str = "tool", platform: Platform = AMD64) -> Resolved:
    return client.resolve(Reference.parse(f"{lying.address}/{name}"), platform)


def test_a_tag_leads_to_its_image(client: Registry, lying: LyingRegistry) -> None:
    """The documents come as they were served, with their digests, and no layer is touched."""
    digest = lying.add_image("latest", layers=[b"one", b"two"])
    found = resolve(client, lying)
    assert (str(found.digest), found.index_digest, found.served_by) == (digest, None, lying.address)
    assert [str(layer.digest) for layer in found.manifest.layers] == [digest_of(b"one"), digest_of(b"two")]
    assert digest_of(found.manifest_bytes) == digest
    assert digest_of(found.config_bytes) == str(found.manifest.config.digest)
    assert len(lying.requests("/blobs/")) == 1


def test_an_index_leads_to_this_platform(client: Registry, lying: LyingRegistry) -> None:
    """Of images for many platforms only ours is asked for; attestations are none of them."""
    ours, other = lying.add_image(architecture="amd64"), lying.add_image(architecture="arm64")
    attestation = {
        "mediaType": f"{OCI}manifest.v1+json", "digest": digest_of(b"attestation"), "size": 11,
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }  # fmt: skip
    index = lying.add_index({"linux/arm64": other, "linux/amd64": ours}, "latest", extra=[attestation])
    found = resolve(client, lying)
    assert (str(found.digest), str(found.index_digest)) == (ours, index)
    assert str(resolve(client, lying, platform=ARM64).digest) == other
    assert not lying.requests(digest_of(b"attestation"))


def test_a_digest_decides(client: Registry, lying: LyingRegistry) -> None:
    """name:tag@digest is the digest, wherever the tag has gone meanwhile."""
    old = lying.add_image("latest", layers=[b"old"])
    lying.add_image("latest", layers=[b"new"])
    assert str(resolve(client, lying, f"tool:latest@{old}").digest) == old
    assert str(resolve(client, lying, f"tool@{old}").digest) == old


def test_an_index_of_indexes_is_followed_so_far(client: Registry, lying: LyingRegistry) -> None:
    """One index in another is fine; without end it is refused."""
    image = lying.add_image()
    inner = lying.add_index({"linux/amd64": image}, "inner")
    lying.add_index({"linux/amd64": inner}, "outer")
    assert str(resolve(client, lying, "tool:outer").digest) == image
    nest = inner
    for _depth in range(4):
        nest = lying.add_index({"linux/amd64": nest}, "deep")
    with pytest.raises(BadManifest, match="without end"):
        resolve(client, lying, "tool:deep")


def test_docker_types_are_understood(client: Registry, lying: LyingRegistry) -> None:
    """Docker's own media types stand beside OCI's, and both are asked for at once."""
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
    kind = f"{DOCKER}distribution.manifest.v2+json"
    described = lying.described(config, f"{DOCKER}container.image.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": described, "layers": []}
    digest = lying.add_manifest(manifest, "latest", media_type=kind)
    assert str(resolve(client, lying).digest) == digest
    accepted = lying.requests("/manifests/")[0].headers["accept"]
    assert all(kind in accepted for kind in (f"{OCI}manifest", f"{OCI}index", f"{DOCKER}distribution.manifest.list", kind))


@pytest.mark.parametrize("given", ["arm64", "s390x"])
def test_another_architecture_is_refused_before_layers_flow(given: str, client: Registry, lying: LyingRegistry) -> None:
    """An image built for something else is refused in one sentence that names both, index or not."""
    image = lying.add_image("latest", architecture=given)
    lying.add_index({f"linux/{given}": image}, "index")
    with pytest.raises(NoSuchImage, match=f"is built for linux/{given}, which linux/amd64 cannot run") as alone:
        resolve(client, lying)
    with pytest.raises(NoSuchImage, match="no matching manifest for linux/amd64") as listed:
        resolve(client, lying, "tool:index")
    assert all(f"--platform linux/{given}" in one.value.hint for one in (alone, listed))
    assert not lying.requests(digest_of(b"layer"))


def test_a_missing_tag_names_its_likes(client: Registry, lying: LyingRegistry) -> None:
    """A misspelt tag is answered with those spelled like it; Docker's sentence says the rest."""
    for tag in ("2.15.0", "2.14.1", "slim"):
        lying.add_image(tag)
    with pytest.raises(NoSuchImage, match=rf"manifest for {lying.address}/tool:2.15 not found: manifest unknown") as caught:
        resolve(client, lying, "tool:2.15")
    assert "tool:2.15.0" in caught.value.hint
    assert caught.value.code == "MANIFEST_UNKNOWN"


def test_a_missing_latest_names_the_newest(client: Registry, lying: LyingRegistry) -> None:
    """Many scientific images have no `latest`: then the newest tags are named, newest first."""
    for tag, year in (("v1.0", 2019), ("v2.0", 2024), ("v1.9", 2022)):
        lying.add_image(tag, created=f"{year}-06-01T00:00:00Z")
    with pytest.raises(NoSuchImage) as caught:
        resolve(client, lying)
    assert "v2.0, v1.9, v1.0" in caught.value.hint


def _promise(media_type: str = f"{OCI}manifest.v1+json") -> dict[str, str]:
    return {"content_type": media_type, "docker_content_digest": digest_of(b"another")}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (body(b'{"schemaVersion": 2}', **_promise()), WrongDigest),
        (body(b"<html>login</html>", content_type="text/html"), BadManifest),
        (body(b"not json", content_type=f"{OCI}manifest.v1+json"), BadManifest),
        (body(b"[" * 100_000, content_type=f"{OCI}manifest.v1+json"), BadManifest),
        (body(b" " * (5 << 20), content_type=f"{OCI}manifest.v1+json"), RegistryError),
        (body(b'{"schemaVersion": 1, "fsLayers": []}', content_type=f"{DOCKER}distribution.manifest.v1+json"), UnsupportedMedia),
        (endless, RegistryError),
        (redirect("file:///etc/passwd"), RegistryError),
        (redirect("http://169.254.169.254/latest/meta-data"), RegistryError),
        (status(400, b"what?"), RegistryError),
        (status(418), RegistryError),
    ],
)  # fmt: skip
def test_bad_answers_are_one_clear_error(
    fault: Fault, expected: type[PyckError], client: Registry, lying: LyingRegistry
) -> None:
    """Whatever comes instead of a manifest is refused, in bounded time and memory, and nothing else is asked for."""
    lying.add_image("latest")
    lying.fault("/manifests/", fault)
    with pytest.raises(expected) as caught:
        resolve(client, lying)
    assert len(str(caught.value)) < 400
    assert not lying.requests("/blobs/")


def test_the_digest_of_a_manifest_is_checked(client: Registry, lying: LyingRegistry) -> None:
    """Asked for a digest, a registry cannot serve another document."""
    digest = lying.add_image("latest")
    lying.manifests[f"tool/{digest}"] = (f"{OCI}manifest.v1+json", b'{"schemaVersion": 2}')
    with pytest.raises(WrongDigest):
        resolve(client, lying, f"tool@{digest}")


@pytest.mark.parametrize(("served", "expected"), [(b"x" * 3, WrongSize), (None, WrongDigest)])
def test_the_config_is_checked(
    served: bytes | None, expected: type[BrokenContent], client: Registry, lying: LyingRegistry
) -> None:
    """A config of another length, or one flipped bit, is refused."""
    lying.add_image("latest")
    config = next(digest for digest, blob in lying.blobs.items() if b"architecture" in blob)
    lying.blobs[config] = served if served is not None else lying.blobs[config].replace(b"linux", b"linus")
    with pytest.raises(expected):
        resolve(client, lying)


def test_a_config_of_gigabytes_is_not_asked_for(client: Registry, lying: LyingRegistry) -> None:
    """What a manifest promises to be huge is refused unseen."""
    config = {"mediaType": f"{OCI}config.v1+json", "digest": digest_of(b"c"), "size": 1 << 40}
    lying.add_manifest({"schemaVersion": 2, "config": config, "layers": []}, "latest")
    with pytest.raises(BadManifest, match="4 MiB"):
        resolve(client, lying)
    assert not lying.requests("/blobs/")


def test_redirects_in_circles_end(client: Registry, lying: LyingRegistry) -> None:
    """Nobody is sent round for ever."""
    lying.fault("/manifests/", redirect(lying.url))
    with pytest.raises(RegistryError, match="in circles"):
        resolve(client, lying)
    assert len(lying.asked) < 10


def test_tags_are_told_with_what_stands_behind_them(client: Registry, lying: LyingRegistry) -> None:
    """Newest first; size, platforms and digest of each; what is no image is a name only."""
    old = lying.add_image("1.0", layers=[b"12345"], created="2020-01-01T00:00:00Z")
    new = lying.add_image("2.0", layers=[b"1234567"], created="2025-01-01T00:00:00Z")
    index = lying.add_index({"linux/amd64": new, "linux/arm64": old}, "latest")
    lying.add_manifest(b"damaged", "broken")
    found = client.tags(Reference.parse(f"{lying.address}/tool"))
    assert [one.tag for one in found] == ["latest", "2.0", "1.0", "broken"]
    assert [one.size_bytes for one in found] == [7, 7, 5, None]
    assert found[0].platforms == ("linux/amd64", "linux/arm64")
    assert str(found[0].digest) == index


def test_lists_of_tags_have_pages(client: Registry, lying: LyingRegistry) -> None:
    """The next page is asked for where this one was, whatever host its link names."""
    page = json.dumps({"tags": ["a", "bad tag!", "b"]}).encode()
    lying.fault("last=b", body(json.dumps({"tags": ["c"]}).encode()))
    lying.fault("/tags/list", body(page, link='<http://xn--a/v2/tool/tags/list?last=b&n=2>; rel="next"'), times=1)
    assert [one.tag for one in client.tags(Reference.parse(f"{lying.address}/tool"))] == ["c", "b", "a"]
    assert [re.sub(r".*\?", "", one.path) for one in lying.requests("/tags/list")] == ["n=1000", "last=b&n=2"]


def _on_the_hub(name: str, year: int, *architectures: str) -> dict[str, object]:
    images = [{"os": "linux", "architecture": one, "variant": None, "size": 100 + len(one)} for one in architectures]
    return {"name": name, "last_updated": f"{year}-03-01T10:00:00.5Z", "digest": digest_of(name.encode()), "images": images}


def test_docker_hub_lists_tags_without_counting_pulls(
    client: Registry, lying: LyingRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own list is asked, once, and no manifest. Docker Hub cannot be reached from a test: this one speaks its format."""
    monkeypatch.setattr("pyck_magic.registry.hub.ADDRESS", lying.url)
    listed = [_on_the_hub("2.0", 2026, "amd64", "arm64", "unknown"), _on_the_hub("1.0", 2020, "arm64"), {"name": "odd name!"}]
    lying.fault("/v2/repositories/ncbi/blast/tags", body(json.dumps({"results": listed}).encode()))
    new, old = client.tags(Reference.parse("ncbi/blast"))
    assert (new.tag, old.tag) == ("2.0", "1.0")
    assert new.platforms == ("linux/amd64", "linux/arm64")
    assert (new.size_bytes, old.size_bytes) in ((105, None), (105, 105))
    assert new.created is not None and new.created.year == 2026
    assert str(new.digest) == digest_of(b"2.0")
    assert len(lying.asked) == 1


def test_lists_of_tags_end(client: Registry, lying: LyingRegistry) -> None:
    """Pages without end, and links that are hard to read, cost bounded time."""
    page = json.dumps({"tags": [f"tag-{number}" for number in range(5000)]}).encode()
    lying.fault("/tags/list", body(page, link="<>;" * 20_000 + '</v2/tool/tags/list?last=x>; rel="next"'), times=1)
    assert len(client.tags(Reference.parse(f"{lying.address}/tool"))) == 5000
    lying.fault("/tags/list", body(page, link='</v2/tool/tags/list?last=x>; rel="next"'))
    client.tags(Reference.parse(f"{lying.address}/other"))
    assert len(lying.requests("/other/tags/list")) < 10
