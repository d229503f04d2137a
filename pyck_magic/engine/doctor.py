"""Can this machine run containers, and how? What is missing, what follows from it, and what exactly would help.

Runs in: the notebook kernel, or the `pyck` command; the trying out happens in a process of its own (`runtime.probe`).
"""

import os
from typing import Any, NamedTuple

from pyck_magic.engine import survey
from pyck_magic.model.errors import NotPossibleHere
from pyck_magic.model.spec import Mode

_OLDEST_KERNEL = (5, 12)

# What runtime.probe.NEEDED finds out, in that order.
_NEEDED = ("mount", "overlay", "overlay_removal", "proc", "pivot_root")

_known: dict[str, Mode] = {}


class Check(NamedTuple):
    """One thing containers need or can use. `ok` is None where it works with a limit, `fix` is empty where nothing is wrong."""

    subject: str
    ok: bool | None
    found: str
    consequence: str
    fix: str = ""


def mode(home: str) -> Mode:
    """How containers are made here: as `root`, or in a `userns` (user namespace). Found by trying, then remembered.

    Only success is remembered (in `<home>/probe.json`, until anything changes that could change it), so that a fix
    shows at once. Raises NotPossibleHere with the cause and what would be enough.
    """
    place = os.path.abspath(home)
    if place not in _known:
        key = survey.fingerprint(place)
        remembered = survey.recall(place).get(key)
        if remembered not in ("root", "userns"):
            remembered = _decide(survey.ask(place), place)
            survey.remember(place, key, remembered)
        _known[place] = remembered
    return _known[place]


def doctor(home: str) -> tuple[Check, ...]:
    """Try everything now, whatever is remembered, and report. Raises StoreError if the home cannot be written."""
    from pyck_magic.engine import causes

    place = os.path.abspath(home)
    findings = survey.ask(place)
    here = causes.Surroundings.read()
    try:
        how: Mode | None = _decide(findings, place)
        trouble = None
    except NotPossibleHere as error:
        how, trouble = None, error
    checks = [_containers(how, trouble), _kernel(), *_ways(findings, here, place)]
    way = how or ("root" if os.geteuid() == 0 else "userns")
    checks += [_filter(findings), _no_network(findings, way), _private_network(findings), _limits(findings)]
    if way == "root":
        checks.append(_owner(findings))
    else:
        checks.append(_range(findings))
    return (*checks, _home(place))


def _decide(findings: dict[str, dict[str, Any]], home: str) -> Mode:
    """The first way in which everything worked that a container needs. Raises NotPossibleHere for the other way's first no."""
    if findings["seccomp_filter"]["errno"]:
        check = _filter(findings)
        raise NotPossibleHere(f"containers cannot be made here: no seccomp filter: {check.found}", hint=check.fix)
    for way in ("root", "userns"):
        if not any(findings[f"{way} {need}"]["errno"] for need in _NEEDED):
            return "root" if way == "root" else "userns"
    from pyck_magic.engine import causes

    cause = _first_no(findings, "userns", causes.Surroundings.read(), home)
    raise NotPossibleHere(f"containers cannot be made here: {cause.found}", hint=cause.fix)


def _first_no(findings: dict[str, dict[str, Any]], way: str, here: Any, home: str) -> Any:
    """The cause of the first thing that failed on this way, or None."""
    from pyck_magic.engine import causes

    if way == "userns":
        for name, explain in (("user_namespace", causes.of_user_namespace), ("id_map", causes.of_id_map)):
            finding = findings[name]
            if finding["errno"]:
                return explain(finding["errno"], finding["text"], here)
    for need in _NEEDED:
        finding = findings[f"{way} {need}"]
        if finding["errno"]:
            return causes.of_need(need, finding["errno"], finding["text"], here, home=home)
    return None


def _containers(how: Mode | None, trouble: NotPossibleHere | None) -> Check:
    if how is None:
        return Check(
            subject="containers", ok=False, found=str(trouble), consequence="nothing can be run, images can be pulled and read",
            fix=trouble.hint if trouble else "",
        )  # fmt: skip
    words = {"root": "made as root", "userns": "made in a user namespace, without any privilege"}
    return Check(subject="containers", ok=True, found=f"mode {how}", consequence=words[how])


def _kernel() -> Check:
    release = os.uname().release
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdigit())
    oldest = ".".join(map(str, _OLDEST_KERNEL))
    good = numbers >= _OLDEST_KERNEL
    return Check(
        subject="kernel", ok=good, found=f"Linux {release}",
        consequence="new enough" if good else "mounts cannot be attached safely, or shown with another owner",
        fix="" if good else f"Linux {oldest} or newer",
    )  # fmt: skip


def _ways(findings: dict[str, dict[str, Any]], here: Any, home: str) -> list[Check]:
    """What works as root (if we are) and in a user namespace, each with its first no."""
    checks = []
    for way, subject in (("root", "root's namespaces"), ("userns", "user namespaces")):
        if way == "root" and os.geteuid() != 0:
            continue
        cause = _first_no(findings, way, here, home)
        checks.append(
            Check(
                subject=subject, ok=cause is None,
                found=cause.found if cause else "namespaces, mounts, overlay in the home, /proc and pivot_root work",
                consequence="containers cannot be made this way" if cause else "containers can be made this way",
                fix=cause.fix if cause else "",
            )
        )  # fmt: skip
    return checks


def _filter(findings: dict[str, dict[str, Any]]) -> Check:
    finding = findings["seccomp_filter"]
    bad = bool(finding["errno"])
    return Check(
        subject="seccomp", ok=not bad, found=finding["text"] if bad else "Docker's default filter can be installed",
        consequence="containers are refused rather than run unfiltered" if bad else "dangerous system calls are refused",
        fix="a kernel with CONFIG_SECCOMP_FILTER=y on x86_64 or aarch64" if bad else "",
    )  # fmt: skip


def _no_network(findings: dict[str, dict[str, Any]], way: str) -> Check:
    finding = findings[f"{way} network_namespace"]
    bad = bool(finding["errno"])
    return Check(
        subject="network none", ok=None if bad else True, found=finding["text"] if bad else "network namespaces work",
        consequence="containers can only share the host's network" if bad else "--network none isolates",
        fix="leave out --network none, or ask for CAP_NET_ADMIN in the container this notebook runs in" if bad else "",
    )  # fmt: skip


def _private_network(findings: dict[str, dict[str, Any]]) -> Check:
    finding = findings["tunnel"]
    if not finding["errno"]:
        return Check(
            subject="private network", ok=True, found=finding["detail"], consequence="a helper can carry one; not offered yet"
        )
    device = "/dev/net/tun" in finding["at"]
    return Check(
        subject="private network", ok=None, found=f"{finding['at']}: {finding['text']}",
        consequence="networks can only be host or none",
        fix="let the device in: docker run --device /dev/net/tun" if device else "apt install passt (or slirp4netns)",
    )  # fmt: skip


def _limits(findings: dict[str, dict[str, Any]]) -> Check:
    version, _, controllers = str(findings["cgroups"]["detail"]).partition(": ")
    needed = {"cpu", "memory", "pids"} - set(controllers.split())
    if not needed:
        return Check(
            subject="cgroups",
            ok=True,
            found=f"{version}, writable: {controllers}",
            consequence="the kernel can enforce limits; none are offered yet",
        )
    return Check(
        subject="cgroups", ok=None, found=f"{version}, not writable: {' '.join(sorted(needed))}",
        consequence="memory and CPU of a container are measured, not limited",
        fix="a systemd user session delegates them: loginctl enable-linger, then log in again" if version == "v2" else
        "root, or a machine with cgroup v2 and a systemd user session",
    )  # fmt: skip


def _owner(findings: dict[str, dict[str, Any]]) -> Check:
    finding = findings["root idmapped_mount"]
    bad = bool(finding["errno"])
    return Check(
        subject="shown owner", ok=None if bad else True,
        found=f"idmapped mounts: {finding['text']}" if bad else "idmapped mounts work in the home's filesystem",
        consequence="an image with a USER other than root may not be able to write your files" if bad else
        "an image with a USER other than root can write your files, and they stay yours",
        fix="run as an ordinary user, add --user 0, or keep the notebook on ext4, xfs or btrfs" if bad else "",
    )  # fmt: skip


def _range(findings: dict[str, dict[str, Any]]) -> Check:
    from pyck_magic.engine import causes

    finding = findings["id_range"]
    if not finding["errno"]:
        return Check(subject="id range", ok=True, found=finding["detail"], consequence="--userns range works")
    cause = causes.of_id_range(finding["errno"], finding["text"], finding["at"], _user())
    return Check(
        subject="id range", ok=None, found=cause.found, fix=cause.fix,
        consequence="containers have one user id, yours; chown and useradd are emulated, --userns range is not possible",
    )  # fmt: skip


def _home(home: str) -> Check:
    room = os.statvfs(home)
    free_gb = room.f_bavail * room.f_frsize / 1e9
    tight = free_gb < 2
    return Check(
        subject="home", ok=None if tight else True, found=f"{home}, {free_gb:.1f} GB free",
        consequence="larger images will not fit" if tight else "images and containers fit",
        fix="free some space, or point PYCK_HOME at a larger disk" if tight else "",
    )  # fmt: skip


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
