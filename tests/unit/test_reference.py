"""Docker's grammar of image names, in every form, and what is said about names that break it.

Runs in:    pytest.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pyck_magic.model.digest import Digest
from pyck_magic.model.errors import BadManifest, BadReference
from pyck_magic.model.reference import Reference, is_tag

HEX = "0123456789abcdef" * 4
PINNED = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
        ("library/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
        ("index.docker.io/library/alpine:3", "docker.io/library/alpine:3", "alpine:3"),
        ("ncbi/blast", "docker.io/ncbi/blast:latest", "ncbi/blast:latest"),
        ("docker.io/ncbi/blast:2.14", "docker.io/ncbi/blast:2.14", "ncbi/blast:2.14"),
        ("a/b/c/d", "docker.io/a/b/c/d:latest", "a/b/c/d:latest"),
        # What comes before the first slash is a registry only if it looks like a host.
        ("quay.io/bio/samtools:1.21--h5_0", "quay.io/bio/samtools:1.21--h5_0", "quay.io/bio/samtools:1.21--h5_0"),
        ("localhost/tiny", "localhost/tiny:latest", "localhost/tiny:latest"),
        ("localhost:5000/tiny", "localhost:5000/tiny:latest", "localhost:5000/tiny:latest"),
        ("lab:5000/tiny:1", "lab:5000/tiny:1", "lab:5000/tiny:1"),
        ("LAB/tiny", "LAB/tiny:latest", "LAB/tiny:latest"),
        ("localhosts/tiny", "docker.io/localhosts/tiny:latest", "localhosts/tiny:latest"),
        ("192.168.0.1/tiny", "192.168.0.1/tiny:latest", "192.168.0.1/tiny:latest"),
        ("[::1]/tiny", "[::1]/tiny:latest", "[::1]/tiny:latest"),
        ("[2001:db8::1]:5000/a/tiny:x", "[2001:db8::1]:5000/a/tiny:x", "[2001:db8::1]:5000/a/tiny:x"),
        ("xn--bcher-kva.example/b", "xn--bcher-kva.example/b:latest", "xn--bcher-kva.example/b:latest"),
        # A colon without a slash behind it begins a tag, even one that could be a port.
        ("localhost:5000", "docker.io/library/localhost:5000", "localhost:5000"),
        ("a.b", "docker.io/library/a.b:latest", "a.b:latest"),
        ("a.b:5000/c:6000", "a.b:5000/c:6000", "a.b:5000/c:6000"),
        # With a digest there is no default tag, and one that is given stays.
        (f"alpine@{PINNED}", f"docker.io/library/alpine@{PINNED}", f"alpine@{PINNED}"),
        (f"alpine:3@{PINNED}", f"docker.io/library/alpine:3@{PINNED}", f"alpine:3@{PINNED}"),
        (f"lab:5000/a@{PINNED}", f"lab:5000/a@{PINNED}", f"lab:5000/a@{PINNED}"),
        # What Docker Hub calls like a host or like its own prefix is never shortened into something else.
        ("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"),
        ("docker.io/localhost/c", "docker.io/localhost/c:latest", "docker.io/localhost/c:latest"),
        ("docker.io/library/library/c", "docker.io/library/library/c:latest", "docker.io/library/library/c:latest"),
        ("a__b/c--d/e.f-g_h", "docker.io/a__b/c--d/e.f-g_h:latest", "a__b/c--d/e.f-g_h:latest"),
        (f"ghcr.io/{HEX}:1", f"ghcr.io/{HEX}:1", f"ghcr.io/{HEX}:1"),
        (HEX[:63], f"docker.io/library/{HEX[:63]}:latest", f"{HEX[:63]}:latest"),
        ("a/" + "b" * 253, "docker.io/a/" + "b" * 253 + ":latest", "a/" + "b" * 253 + ":latest"),
        ("a:" + "T" * 128, "docker.io/library/a:" + "T" * 128, "a:" + "T" * 128),
    ],
)
def test_a_name_means_what_it_means_to_docker(text: str, full: str, familiar: str) -> None:
    """Registry, `library/` and `latest` are filled in, Docker's short form leaves them out, and both are read as the same."""
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar) == (full, familiar)
    assert Reference.parse(full) == Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "invalid reference format", "[REGISTRY/]NAME[:TAG][@DIGEST]"),
        (" alpine", "invalid reference format", "alpine:3.20"),
        ("alpine\n", "invalid reference format: 'alpine\\n'", ""),
        ("alpine:", "'' is no tag", "at most 128"),
        ("alpine:-x", "'-x' is no tag", ""),
        ("alpine:a b", "'a b' is no tag", ""),
        ("alpine:" + "t" * 129, "is no tag", ""),
        (":3.20", "invalid reference format", ""),
        ("a//b", "invalid reference format", ""),
        ("/alpine", "invalid reference format", ""),
        ("a.b/", "invalid reference format", ""),
        ("a___b", "invalid reference format", ""),
        ("a..b", "invalid reference format", ""),
        ("a/../b", "invalid reference format", ""),
        ("-a", "invalid reference format", ""),
        ("ä", "invalid reference format: '\\xe4'", ""),
        ("Alpine", "repository name (library/Alpine) must be lowercase", "did you mean alpine?"),
        ("ncbi/BLAST:2.14-RC1", "repository name (ncbi/BLAST) must be lowercase", "did you mean ncbi/blast:2.14-RC1?"),
        ("https://quay.io/a", "'https:' is no registry", ""),
        ("-a.b/c", "'-a.b' is no registry", ""),
        ("a..b/c", "'a..b' is no registry", ""),
        ("a.b:/c", "'a.b:' is no registry", ""),
        ("a.b:x/c", "'a.b:x' is no registry", ""),
        ("[::1/c", "'[::1' is no registry", ""),
        ("::1/c", "'::1' is no registry", ""),
        ("me@a.b/c", "'a.b/c' is no digest", "sha256: and 64 hex digits"),
        ("alpine@", "'' is no digest", ""),
        ("alpine@sha256:123", "'123' is no SHA-256 digest", ""),
        (f"alpine@sha256:{HEX.upper()}", "is no SHA-256 digest", ""),
        (f"alpine@sha512:{HEX * 2}", "'sha512' digests are not supported", ""),
        (f"alpine@{PINNED}:3", "is no SHA-256 digest", ""),
        (HEX, "cannot specify 64-byte hexadecimal strings", "looks like an image ID"),
        (f"docker.io/library/{HEX}", "cannot specify 64-byte hexadecimal strings", ""),
        (f"{HEX}:latest", "cannot specify 64-byte hexadecimal strings", ""),
        ("a/" + "b" * 254, "must not be more than 255 characters", ""),
        ("b" * 248, "must not be more than 255 characters", ""),
    ],
)
def test_a_wrong_name_is_one_clear_error(text: str, message: str, hint: str) -> None:
    """It says in Docker's words what is wrong, and how a name is written."""
    with pytest.raises(BadReference) as caught:
        Reference.parse(text)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert caught.value.hint


def test_the_parts_of_a_name() -> None:
    """A reference tells its parts, and its repository as Docker lists it."""
    reference = Reference.parse(f"lab:5000/a/b:1@{PINNED}")
    assert reference == Reference("lab:5000", "a/b", "1", Digest("sha256", HEX))
    assert reference.familiar_repository == "lab:5000/a/b"
    assert Reference.parse("alpine").familiar_repository == "alpine"


def test_pinning_keeps_the_tag() -> None:
    """A pinned reference still says by which tag it was found."""
    pinned = Reference.parse("alpine:3").with_digest(Digest("sha256", HEX))
    assert pinned.familiar == f"alpine:3@{PINNED}"


def test_what_may_be_a_tag() -> None:
    """Letters, digits, `_`, `.` and `-`, and the first is none of the last two."""
    assert all(is_tag(text) for text in ("3.20", "_", "A-b.c"))
    assert not any(is_tag(text) for text in ("", ".a", "-a", "a/b", "a:b", "a\n", "é"))


def test_a_digest_holds_nothing_that_is_dangerous_in_a_path() -> None:
    """Nothing but a SHA-256 in lower case can become a digest, by whichever way it is made."""
    assert str(Digest.of(b"")) == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Digest.parse(PINNED).short == "0123456789ab"
    for algorithm, digits in (("sha256", "../" + HEX[3:]), ("sha256", HEX + "\n"), ("..", HEX), ("", HEX), ("sha256", "٣" * 64)):
        with pytest.raises(BadManifest):
            Digest(algorithm, digits)
        with pytest.raises(BadManifest):
            Digest.parse(f"{algorithm}:{digits}")


label = some.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,4}[a-zA-Z0-9])?", fullmatch=True)
host = some.lists(label, min_size=1, max_size=3).map(".".join) | some.sampled_from(["localhost", "docker.io", "[fe80::1]"])
component = some.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}", fullmatch=True)
part = component | some.sampled_from(["library", "localhost", "docker.io", "index.docker.io", HEX])
names = some.tuples(
    some.just("") | some.builds(lambda name, port: f"{name}{port}/", host, some.sampled_from(["", ":80", ":5000"])),
    some.lists(part, min_size=1, max_size=4).map("/".join),
    some.just("") | some.from_regex(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}", fullmatch=True),
    some.sampled_from(["", f"@{PINNED}"]),
).map("".join)


@settings(deadline=None)
@given(names | some.text(alphabet="ab0A.:/@-_[] é", max_size=12))
def test_both_written_forms_are_read_as_the_same(text: str) -> None:
    """Whatever is typed is refused in words, or its full and its short form come back as the same reference."""
    try:
        reference = Reference.parse(text)
    except BadReference as error:
        assert str(error).startswith("invalid re")
        return
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference
    assert reference.tag or reference.digest
