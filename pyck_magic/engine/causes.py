"""Why the kernel said no: from an errno and what else is known of the machine to a sentence and its remedy.

Runs in: the notebook kernel, or the `pyck` command. Only reads.
"""

import errno
import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """What was found, and exactly what would change it."""

    found: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What tells one EPERM from another."""

    seccomp: bool
    chrooted: bool
    profile: str
    limit: str
    clone_switch: str
    apparmor_switch: str
    proc_covered: bool

    @classmethod
    def read(cls) -> "Surroundings":
        """Look around in /proc."""
        status = dict(line.split(":", 1) for line in _text("/proc/self/status").splitlines() if ":" in line)
        places = [fields[4] for fields in map(str.split, _text("/proc/self/mountinfo").splitlines()) if len(fields) > 4]
        return cls(
            seccomp=status.get("Seccomp", "").strip() == "2",
            chrooted=bool(places) and "/" not in places,
            profile=_text("/proc/self/attr/current").strip("\0\n ") if os.path.exists("/sys/module/apparmor") else "",
            limit=_text("/proc/sys/user/max_user_namespaces").strip(),
            clone_switch=_text("/proc/sys/kernel/unprivileged_userns_clone").strip(),
            apparmor_switch=_text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").strip(),
            proc_covered=any(place.startswith("/proc/") and place != "/proc/sys/fs/binfmt_misc" for place in places),
        )


_POD = (
    "the pod needs seccompProfile: Unconfined, an AppArmor profile that permits userns and mount, and procMount: Unmasked;"
    " docker run needs --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
)


def of_user_namespace(code: int, text: str, here: Surroundings) -> Cause:
    """Why no user namespace could be made (user_namespaces(7), clone(2))."""
    if code in (errno.ENOSPC, errno.EUSERS):
        if here.limit == "0":
            return Cause(
                'user.max_user_namespaces is 0 on this machine (ENOSPC "No space left on device", which has nothing to do with'
                " your disk)",
                "ask the administrator: sysctl -w user.max_user_namespaces=15000 (and a line in /etc/sysctl.d to keep it)",
            )
        return Cause(
            f"the limit of user namespaces is reached: user.max_user_namespaces is {here.limit} here or less further out, or they"
            ' are nested more than 32 deep (ENOSPC "No space left on device", which has nothing to do with your disk)',
            "end what holds namespaces, or raise it: sysctl -w user.max_user_namespaces=15000",
        )
    if code == errno.EPERM and here.clone_switch == "0":
        return Cause(
            "kernel.unprivileged_userns_clone is 0 on this machine (EPERM)",
            "ask the administrator: sysctl -w kernel.unprivileged_userns_clone=1",
        )
    if code == errno.EPERM and here.seccomp:
        return Cause(
            "this notebook itself runs in a container whose seccomp profile forbids namespaces (EPERM, Seccomp: 2)", _POD
        )
    if code == errno.EPERM and here.chrooted:
        return Cause(
            "this process runs in a chroot, where the kernel makes no user namespaces (EPERM)",
            "start the notebook outside the chroot, or let it be entered by pivot_root",
        )
    if code == errno.EACCES or (code == errno.EPERM and here.profile not in ("", "unconfined")):
        return Cause(
            f"a security module forbids user namespaces (profile {here.profile or 'unknown'}, {_name(code)})",
            f"give the profile a `userns,` rule; in a container: {_POD}",
        )
    if code in (errno.EINVAL, errno.ENOSYS):
        return Cause(
            f"this kernel has no user namespaces ({_name(code)})", "a kernel with CONFIG_USER_NS=y, as all distributions ship"
        )
    return Cause(f"user namespaces: {text} ({_name(code)})", "ask the administrator why clone(CLONE_NEWUSER) is refused")


def of_id_map(code: int, text: str, here: Surroundings) -> Cause:
    """Why the namespace could be made but no id mapped into it: security modules that take its capabilities away."""
    if here.apparmor_switch == "1" and code in (errno.EACCES, errno.EPERM):
        return Cause(
            "Ubuntu's AppArmor lets this process create a user namespace but takes its capabilities away"
            f" (kernel.apparmor_restrict_unprivileged_userns=1; {_name(code)})",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,` for this"
            " notebook's Python",
        )
    return Cause(
        f"ids cannot be mapped into a new user namespace: {text} ({_name(code)})",
        "a security module stands in the way: ask the administrator to permit user namespaces for this user",
    )


def of_need(probe: str, code: int, text: str, here: Surroundings, *, home: str) -> Cause:
    """Why one of the things failed that every container needs, in namespaces that could be made."""
    if probe == "proc" and code == errno.EPERM:
        return Cause(
            "parts of /proc are covered here, so the kernel shows no fresh one (EPERM): this notebook runs in a container"
            if here.proc_covered
            else "a fresh /proc is refused (EPERM)",
            "docker run: --security-opt systempaths=unconfined; Kubernetes: procMount: Unmasked, or hostUsers: false",
        )
    if probe == "overlay" and code == errno.EINVAL:
        return Cause(
            f"the home {home} is on a filesystem that cannot hold a writable layer (overlayfs, NFS; EINVAL)",
            "set PYCK_HOME to a folder on a local disk (ext4, xfs, btrfs) or on a volume",
        )
    if probe == "overlay_removal" and code in (errno.EIO, errno.EOPNOTSUPP):
        return Cause(
            f"overlayfs cannot keep its marks in the home {home} (EIO: the filesystem has no user.* attributes)",
            "set PYCK_HOME to a folder on ext4, xfs or btrfs; tmpfs serves from Linux 6.6 on",
        )
    if code == errno.ENODEV and probe.startswith("overlay"):
        return Cause("this kernel has no overlayfs (ENODEV)", "load it: sudo modprobe overlay")
    if probe == "pivot_root" and code == errno.EPERM:
        return Cause("pivot_root is refused (EPERM): Docker's seccomp profile never allows it", _POD)
    what = {"mount": "mounting", "proc": "mounting /proc", "overlay": "mounting an overlay in the home"}.get(probe, probe)
    if code == errno.EACCES:
        return Cause(
            f"a security module forbids {what} (EACCES, profile {here.profile or 'unknown'})", f"permit mount in it; {_POD}"
        )
    if code == errno.EPERM:
        why = "the seccomp profile of the container this notebook runs in" if here.seccomp else "something"
        return Cause(f"{why} forbids {what} (EPERM)", _POD)
    return Cause(f"{what} fails: {text} ({_name(code)})", "this is new to us: please report it with the output of `pyck doctor`")


def of_id_range(code: int, text: str, at: str, user: str) -> Cause:
    """Why more than one id cannot be mapped."""
    if code == errno.ENOENT:
        return Cause(f"{at}: not installed", "apt install uidmap (Debian, Ubuntu), dnf install shadow-utils (Fedora)")
    if code == errno.ENODATA:
        return Cause(
            f"{at} has no entry for {user}", f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        )
    return Cause(
        f"{at or 'newuidmap'}: {text}",
        "in a container newuidmap needs file capabilities instead of its setuid bit: setcap cap_setuid=ep /usr/bin/newuidmap,"
        " cap_setgid=ep /usr/bin/newgidmap",
    )


def _name(code: int) -> str:
    return errno.errorcode.get(code, str(code))


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
