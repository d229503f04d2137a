"""What this machine lets us do, found out by doing it: each probe makes a piece of a container and throws it away.

Runs in: a process of its own (`python -I -S`, one thread). Every probe is a forked child with a time limit, so that one
which hangs or dies says something about the machine and nothing about us.

Being root, a file that exists, or a version number proves nothing: filters, security modules and limits do not show in
them. So a probe succeeds only if the kernel did the very thing that `runtime.birth` will ask of it, in the same way.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import struct
import sys

from pyck_magic.linux import idmaps, libc, seccomp
from pyck_magic.runtime import seccomp_profile
from pyck_magic.runtime.attempts import Finding, Probe, Room, attempt, enter, in_namespaces

WAYS = ("root", "userns")


def user_namespace(_room: Room) -> str:
    """Make a user namespace: a world in which an ordinary user can be root over what he makes (user_namespaces(7))."""
    in_namespaces(libc.CLONE_NEWUSER, lambda: None)
    return ""


def id_map(room: Room) -> str:
    """Say who is who in the new user namespace: root inside is us outside. Some security modules refuse only this."""
    enter(room, 0, lambda: None)
    return ""


def mount(room: Room) -> str:
    """Mount a tmpfs in a mount namespace of our own, where nobody else sees it (mount_namespaces(7))."""
    place = room.at("tmpfs")
    enter(room, libc.CLONE_NEWNS, lambda: libc.mount("tmpfs", place, "tmpfs"))
    return ""


def overlay(room: Room) -> str:
    """Stack a writable layer in the home over a read-only one (overlayfs), as every container's root is made."""

    def work() -> None:
        _mount_overlay(room, "overlay")

    enter(room, libc.CLONE_NEWNS, work)
    return ""


def overlay_removal(room: Room) -> str:
    """Remove a directory of the lower layer. Overlayfs that could not set its marks mounts well and fails only here."""

    def work() -> None:
        merged = _mount_overlay(room, "removal")
        os.unlink(f"{merged}/folder/file")
        os.rmdir(f"{merged}/folder")
        os.mkdir(f"{merged}/folder")
        if os.listdir(f"{merged}/folder"):
            raise OSError(errno.EIO, "a removed file came back", merged)

    enter(room, libc.CLONE_NEWNS, work)
    return ""


def proc(room: Room) -> str:
    """Mount a /proc that shows only a new PID namespace. Refused where parts of our own /proc are covered."""
    place = room.at("proc")
    enter(room, libc.CLONE_NEWNS | libc.CLONE_NEWPID, lambda: libc.mount("proc", place, "proc"))
    return ""


def pivot_root(room: Room) -> str:
    """Swap the root for another one and let go of the old, so that no path leads back (pivot_root(2))."""

    def work() -> None:
        new_root = room.at("tmpfs")
        libc.mount("tmpfs", new_root, "tmpfs")
        os.chdir(new_root)
        libc.pivot_root(".", ".")
        libc.umount2(".", libc.MNT_DETACH)

    enter(room, libc.CLONE_NEWNS, work)
    return ""


def network_namespace(room: Room) -> str:
    """Make an empty network and raise its loopback: what `--network none` is."""

    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            siocsifflags, iff_up = 0x8914, 0x1
            fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sH14x", b"lo", iff_up))

    enter(room, libc.CLONE_NEWNET, work)
    return ""


def seccomp_filter(_room: Room) -> str:
    """Install the filter every container gets, and see that it refuses something."""
    seccomp.install(seccomp_profile.program(seccomp_profile.DEFAULT_CAPABILITIES))
    try:
        libc.unshare(libc.CLONE_NEWUSER)
    except OSError as error:
        if error.errno == errno.EPERM:
            return ""
    raise OSError(errno.EIO, "the filter was accepted and refuses nothing")


def idmapped_mount(room: Room) -> str:
    """Show our files in the home as another user's (mount_setattr(2)), as root needs it for images with a USER."""
    source = room.at("idmapped")

    def work() -> None:
        owner_fd = idmaps.owner_namespace(1000, 1000)
        tree = libc.open_tree(libc.AT_FDCWD, source, libc.OPEN_TREE_CLONE | libc.OPEN_TREE_CLOEXEC)
        libc.mount_setattr(tree, "", libc.AT_EMPTY_PATH, attr_set=libc.MOUNT_ATTR_IDMAP, userns_fd=owner_fd)

    enter(room, libc.CLONE_NEWNS, work)
    return ""


def id_range(_room: Room) -> str:
    """Map a whole range of ids, with the setuid helpers and the grant in /etc/subuid that it takes (newuidmap(1))."""
    missing = [helper for helper in ("newuidmap", "newgidmap") if not _program(helper)]
    if missing:
        raise FileNotFoundError(errno.ENOENT, "not installed", " and ".join(missing))
    maps = []
    for path, own in (("/etc/subuid", os.getuid()), ("/etc/subgid", os.getgid())):
        grant = _granted(path)
        if grant is None:
            raise LookupError(path)
        maps.append(((0, own, 1), (1, *grant)))
    in_namespaces(libc.CLONE_NEWUSER, lambda: None, lambda pid: idmaps.write(pid, *maps, by_helper=True))
    return f"{maps[0][1][2]} ids from {maps[0][1][1]}"


def cgroups(_room: Room) -> str:
    """Which cgroup controllers we may use: `v1`, `v2` or `hybrid`, and the names of those we can write to (cgroups(7))."""
    mounted = [line.split() for line in _lines("/proc/self/mountinfo")]
    kinds = [(fields[fields.index("-") + 1], fields) for fields in mounted if "-" in fields]
    v1 = {tuple(fields[-1].split(",")): fields[4] for kind, fields in kinds if kind == "cgroup"}
    v2 = [fields[4] for kind, fields in kinds if kind == "cgroup2"]
    writable: set[str] = set()
    known = {"cpu", "cpuacct", "cpuset", "memory", "pids", "freezer", "io", "blkio"}
    for line in _lines("/proc/self/cgroup"):
        _number, controllers, path = line.split(":", 2)
        if controllers:
            wanted = set(controllers.split(","))
            there = next((place + path for names, place in v1.items() if wanted <= set(names)), "")
            usable = known & wanted
        else:
            there = next((place + path for place in v2), "")
            usable = set(" ".join(_lines(f"{there}/cgroup.controllers")).split())
        if there and os.access(there, os.W_OK):
            writable |= usable
    version = "hybrid" if v1 and v2 else "v2" if v2 else "v1" if v1 else "none"
    return f"{version}: {' '.join(sorted(writable))}".rstrip(": ")


def tunnel(_room: Room) -> str:
    """Open /dev/net/tun and find a helper that carries an ordinary user's private network (pasta(1), slirp4netns(1))."""
    helper = _program("pasta") or _program("slirp4netns")
    if not helper:
        raise FileNotFoundError(errno.ENOENT, "not installed", "pasta or slirp4netns")
    os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    return os.path.basename(helper)


# What a container cannot do without, in the order in which it is needed.
NEEDED: tuple[Probe, ...] = (mount, overlay, overlay_removal, proc, pivot_root)
GENERAL: tuple[Probe, ...] = (user_namespace, id_map, seccomp_filter, id_range, cgroups, tunnel)


def survey(path: str) -> dict[str, Finding]:
    """All findings: general ones by the probe's name, others as `<way> <probe>`. `path` is an empty folder in the home."""
    findings = {probe.__name__: attempt(probe, Room(path)) for probe in GENERAL}
    for way in WAYS:
        room = Room(path, way)
        probes: tuple[Probe, ...] = (*NEEDED, network_namespace)
        for probe in (*probes, idmapped_mount) if way == "root" else probes:
            if way == "userns" and findings["id_map"]["errno"]:
                findings[f"{way} {probe.__name__}"] = findings["id_map"]
            else:
                findings[f"{way} {probe.__name__}"] = attempt(probe, room)
    return findings


def _mount_overlay(room: Room, name: str) -> str:
    """An overlay in which `folder/file` comes from below; the mounted path."""
    for part in ("upper", "work", "merged"):
        room.at(f"{name}/{part}")
    folder = room.at(f"{name}/lower/folder")
    os.close(os.open(f"{folder}/file", os.O_CREAT | os.O_WRONLY, 0o644))
    os.chdir(room.at(name))
    marks = ",userxattr" if room.way == "userns" else ""
    libc.mount("overlay", "merged", "overlay", 0, f"lowerdir=lower,upperdir=upper,workdir=work{marks}")
    return room.at(f"{name}/merged")


def _program(name: str) -> str:
    """Where a program is in the usual places (our environment is empty here)."""
    places = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
    return next((f"{place}/{name}" for place in places if os.access(f"{place}/{name}", os.X_OK)), "")


def _granted(path: str) -> tuple[int, int] | None:
    """First and count of the ids that /etc/subuid or /etc/subgid grants us, by number or by name (subuid(5))."""
    import pwd

    uid = os.getuid()
    names = {str(uid)}
    with contextlib.suppress(KeyError):
        names.add(pwd.getpwuid(uid).pw_name)
    for line in _lines(path):
        owner, _, grant = line.partition(":")
        first, _, count = grant.partition(":")
        if owner in names and first.isdigit() and count.isdigit():
            return int(first), int(count)
    return None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def main(path: str) -> None:
    """Print the survey as JSON."""
    sys.stdout.write(json.dumps(survey(path)))
