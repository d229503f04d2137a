"""Names of platforms, and which of them run the programs of which others.

Runs in:    pytest.
"""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pyck_magic.model.errors import BadOption
from pyck_magic.model.platform import Platform


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        (" Linux/AMD64 ", "linux/amd64"),
        ("arm64", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v8.2", "linux/arm64/v8.2"),
        ("arm", "linux/arm"),
        ("armhf", "linux/arm"),
        ("linux/arm/v7", "linux/arm"),
        ("linux/arm/6", "linux/arm/v6"),
        ("armel", "linux/arm/v6"),
        ("armv6l", "linux/arm/v6"),
        ("armv7l", "linux/arm"),
        ("i686", "linux/386"),
        ("386", "linux/386"),
        ("loongarch64", "linux/loong64"),
        ("riscv64", "linux/riscv64"),
        ("ppc64le", "linux/ppc64le"),
        ("s390x", "linux/s390x"),
    ],
)
def test_a_platform_is_written_in_one_way(text: str, written: str) -> None:
    """Every spelling becomes Go's names without the variant that goes without saying, and that is read as the same."""
    platform = Platform.parse(text)
    assert str(platform) == written
    assert Platform.parse(written) == platform == platform.normal


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "'' is no platform", "OS/ARCHITECTURE[/VARIANT]"),
        ("linux/", "is no platform", "linux/arm64"),
        ("linux//v8", "is no platform", ""),
        ("linux/arm64/", "is no platform", ""),
        ("linux/arm/v7/x", "is no platform", ""),
        ("linux/am d64", "is no platform", ""),
        ("linux/ärm64", "'linux/\\xe4rm64' is no platform", ""),
        ("linux/arm64/v8\n\x1b", "is no platform", ""),
        ("x" * 200 + "!", "is no platform", ""),
        ("windows/amd64", "programs for windows cannot run here", "Linux containers"),
        ("darwin/arm64", "programs for darwin cannot run here", ""),
        ("amd64/linux", "programs for amd64 cannot run here", ""),
        ("linux", "'linux' is no architecture", "amd64, arm, arm64"),
        ("linux/toaster", "'toaster' is no architecture", "there are 386, amd64"),
    ],
)
def test_a_wrong_platform_is_one_clear_error(text: str, message: str, hint: str) -> None:
    """It says what is wrong, and which platforms there are."""
    with pytest.raises(BadOption) as caught:
        Platform.parse(text)
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert len(str(caught.value)) < 120


def test_this_machine_is_a_platform() -> None:
    """The kernel's name for this machine is read as any other, and this machine runs its own programs."""
    here = Platform.here()
    assert here == Platform.parse(os.uname().machine) == here.normal
    assert here.os == "linux"
    assert here.runs(here)


@pytest.mark.parametrize(
    ("mine", "theirs", "runs"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v1", True),
        ("linux/amd64", "linux/x86_64", True),
        ("linux/amd64", "linux/amd64/v2", False),
        ("linux/amd64/v3", "linux/amd64/v2", True),
        ("linux/amd64/v3", "linux/amd64", True),
        ("linux/amd64", "linux/386", False),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "unknown/unknown", False),
        ("linux/amd64", "/", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64", "linux/arm64/v9", False),
        ("linux/arm64/v9", "linux/arm64/v8", True),
        ("linux/arm64", "linux/arm/v7", False),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v7", "linux/arm/v5", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm/v6", "linux/arm", False),
        ("linux/arm", "linux/arm/hard", False),
        ("linux/arm", "linux/arm/v0", False),
        ("linux/arm", "linux/arm/v-1", False),
        ("linux/arm", "linux/arm/v" + "9" * 50, False),
        ("linux/s390x", "linux/s390x/z15", False),
    ],
)
def test_what_runs_where(mine: str, theirs: str, runs: bool) -> None:
    """A machine runs its own architecture in its own or an older variant, however a stranger writes it."""
    assert Platform(*mine.split("/")).runs(Platform(*theirs.split("/"))) is runs


@pytest.mark.parametrize(
    ("platform", "level"),
    [
        (Platform("linux", "arm", "v6"), 6),
        (Platform("linux", "arm"), 7),
        (Platform("linux", "arm64"), 8),
        (Platform("linux", "arm64", "v8.2"), 8),
        (Platform("linux", "amd64"), 1),
        (Platform("linux", "s390x"), 0),
        (Platform("linux", "arm", "hard"), 0),
        (Platform("linux", "arm", "v²"), 0),
        (Platform("linux", "arm", "v1000"), 0),
    ],
)
def test_variants_are_ordered_by_their_number(platform: Platform, level: int) -> None:
    """What has no number, or an absurd one, counts as nothing."""
    assert platform.level == level


words = some.sampled_from(["linux", "windows", "", "unknown"]) | some.text(max_size=4)
architectures = some.sampled_from(["amd64", "x86_64", "arm64", "arm", "armhf", "armel", "386"]) | some.text(max_size=4)
variants = some.sampled_from(["", "v1", "7", "v7", "v8", "v8.2"]) | some.text(max_size=4)
platforms = some.builds(Platform, words, architectures, variants)


@settings(deadline=None)
@given(platforms, platforms)
def test_whatever_a_stranger_writes_can_be_compared(one: Platform, other: Platform) -> None:
    """The normal form is its own normal form, and everything runs what is the same as itself."""
    assert one.normal.normal == one.normal
    assert one.runs(one) and one.runs(one.normal) and one.normal.runs(one)
    assert one.runs(other) or one.normal != other.normal


@settings(deadline=None)
@given(some.text(max_size=20) | platforms.map(str))
def test_whatever_is_typed_is_understood_or_refused(text: str) -> None:
    """A platform comes back as it is written, or there is an error in words."""
    try:
        platform = Platform.parse(text)
    except BadOption as error:
        assert error.hint
    else:
        assert Platform.parse(str(platform)) == platform
