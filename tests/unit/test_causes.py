"""The same errno has many causes: what is known of the machine decides which is named."""

import errno
from dataclasses import replace

import pytest

from pyck_magic.engine import causes
from pyck_magic.engine.causes import Surroundings

PLAIN = Surroundings(
    seccomp=False, chrooted=False, profile="", limit="15000", clone_switch="", apparmor_switch="", proc_covered=False
)  # fmt: skip


@pytest.mark.parametrize(
    ("code", "changes", "found", "fix"),
    [
        (errno.ENOSPC, {"limit": "0"}, "user.max_user_namespaces is 0", "user.max_user_namespaces=15000"),
        (errno.ENOSPC, {"limit": "100"}, "is 100 here or less further out", "end what holds namespaces"),
        (errno.EUSERS, {}, "nested more than 32 deep", "end what holds namespaces"),
        (errno.EPERM, {"clone_switch": "0", "seccomp": True}, "unprivileged_userns_clone is 0", "unprivileged_userns_clone=1"),
        (errno.EPERM, {"seccomp": True}, "seccomp profile forbids namespaces", "seccompProfile: Unconfined"),
        (errno.EPERM, {"chrooted": True}, "runs in a chroot", "outside the chroot"),
        (errno.EACCES, {"profile": "docker-default (enforce)"}, "docker-default (enforce)", "`userns,`"),
        (errno.EPERM, {"profile": "snap.code"}, "snap.code", "`userns,`"),
        (errno.EPERM, {"profile": "unconfined"}, "EPERM", "administrator"),
        (errno.EINVAL, {}, "no user namespaces", "CONFIG_USER_NS"),
    ],
)
def test_why_no_user_namespace(code: int, changes: dict[str, str | bool], found: str, fix: str) -> None:
    """Limit, switch, container, chroot, security module, kernel: each refusal of clone has its own words."""
    cause = causes.of_user_namespace(code, "the kernel's words", replace(PLAIN, **changes))  # type: ignore[arg-type]
    assert found in cause.found
    assert fix in cause.fix


def test_ubuntu_is_recognised_by_its_switch() -> None:
    """A namespace without its capabilities is Ubuntu's AppArmor only if its switch is on."""
    ubuntu = causes.of_id_map(errno.EACCES, "Permission denied", replace(PLAIN, apparmor_switch="1"))
    assert "Ubuntu" in ubuntu.found and "apparmor_restrict_unprivileged_userns=0" in ubuntu.fix
    other = causes.of_id_map(errno.EPERM, "Operation not permitted", PLAIN)
    assert "Ubuntu" not in other.found and "security module" in other.fix


@pytest.mark.parametrize(
    ("probe", "code", "changes", "found"),
    [
        ("proc", errno.EPERM, {"proc_covered": True}, "parts of /proc are covered"),
        ("overlay", errno.EINVAL, {}, "cannot hold a writable layer"),
        ("overlay", errno.ENODEV, {}, "no overlayfs"),
        ("overlay_removal", errno.EIO, {}, "cannot keep its marks"),
        ("pivot_root", errno.EPERM, {"seccomp": True}, "pivot_root is refused"),
        ("mount", errno.EACCES, {"profile": "cri-containerd.apparmor.d"}, "cri-containerd.apparmor.d"),
        ("mount", errno.EPERM, {"seccomp": True}, "seccomp profile"),
        ("mount", errno.ENOMEM, {}, "ENOMEM"),
    ],
)
def test_why_a_need_failed(probe: str, code: int, changes: dict[str, str | bool], found: str) -> None:
    """What fails inside namespaces that could be made is named with its cause, and every cause has a fix."""
    cause = causes.of_need(probe, code, "the kernel's words", replace(PLAIN, **changes), home="/home/a/pyck")  # type: ignore[arg-type]
    assert found in cause.found
    assert cause.fix


def test_why_no_range() -> None:
    """Helpers that are missing, a grant that is missing, and helpers that may not: three remedies."""
    assert "apt install uidmap" in causes.of_id_range(errno.ENOENT, "not installed", "newuidmap", "ada").fix
    assert causes.of_id_range(errno.ENODATA, "no entry", "/etc/subuid", "ada").fix.endswith(" ada")
    assert "setcap" in causes.of_id_range(errno.EPERM, "refused", "newuidmap", "ada").fix
