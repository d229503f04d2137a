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
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable

from pyck_magic.linux import idmaps, libc, seccomp
from pyck_magic.runtime import seccomp_profile

Finding = dict[str, int | str]
"""`errno` and `text` of a failure (0 and empty if there was none), `at` what path, and what else was found as `detail`."""

WAYS = ("root", "userns")
_LIMIT_MS = 5000


class Room:
    """A folder in the home for the probes to play in, and the way in which this one enters its namespaces."""

    def __init__(self, path: str, way: str = "userns") -> None:
        self.path = path
        self.way = way

    def at(self, name: str) -> str:
        """A folder of this way alone, made if missing."""
        path = f"{self.path}/{self.way}/{name}"
        os.makedirs(path, exist_ok=True)
        return path


def user_namespace(_room: Room) -> str:
    """Make a user namespace: a world in which an ordinary user can be root over what he makes (user_namespaces(7))."""
    _in_namespaces(libc.CLONE_NEWUSER, lambda: None)
    return ""


def id_map(room: Room) -> str:
    """Say who is who in the new user namespace: root inside is us outside. Some security modules refuse only this."""
    _enter(room, 0, lambda: None)
    return ""


def mount(room: Room) -> str:
    """Mount a tmpfs in a mount namespace of our own, where nobody else sees it (mount_namespaces(7))."""
    place = room.at("tmpfs")
    _enter(room, libc.CLONE_NEWNS, lambda: libc.mount("tmpfs", place, "tmpfs"))
    return ""


def overlay(room: Room) -> str:
    """Stack a writable layer in the home over a read-only one (overlayfs), as every container's root is made."""

    def work() -> None:
        _mount_overlay(room, "overlay")

    _enter(room, libc.CLONE_NEWNS, work)
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

    _enter(room, libc.CLONE_NEWNS, work)
    return ""


def proc(room: Room) -> str:
    """Mount a /proc that shows only a new PID namespace. Refused where parts of our own /proc are covered."""
    place = room.at("proc")
    _enter(room, libc.CLONE_NEWNS | libc.CLONE_NEWPID, lambda: libc.mount("proc", place, "proc"))
    return ""


def pivot_root(room: Room) -> str:
    """Swap the root for another one and let go of the old, so that no path leads back (pivot_root(2))."""

    def work() -> None:
        new_root = room.at("tmpfs")
        libc.mount("tmpfs", new_root, "tmpfs")
        os.chdir(new_root)
        libc.pivot_root(".", ".")
        libc.umount2(".", libc.MNT_DETACH)

    _enter(room, libc.CLONE_NEWNS, work)
    return ""


def network_namespace(room: Room) -> str:
    """Make an empty network and raise its loopback: what `--network none` is."""

    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            siocsifflags, iff_up = 0x8914, 0x1
            fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sH14x", b"lo", iff_up))

    _enter(room, libc.CLONE_NEWNET, work)
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

    _enter(room, libc.CLONE_NEWNS, work)
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
    _in_namespaces(libc.CLONE_NEWUSER, lambda: None, lambda pid: idmaps.write(pid, *maps, by_helper=True))
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


Probe = Callable[[Room], str]

# What a container cannot do without, in the order in which it is needed.
NEEDED: tuple[Probe, ...] = (mount, overlay, overlay_removal, proc, pivot_root)
GENERAL: tuple[Probe, ...] = (user_namespace, id_map, seccomp_filter, id_range, cgroups, tunnel)


def survey(path: str) -> dict[str, Finding]:
    """All findings: general ones by the probe's name, others as `<way> <probe>`. `path` is an empty folder in the home."""
    findings = {probe.__name__: _try(probe, Room(path)) for probe in GENERAL}
    for way in WAYS:
        room = Room(path, way)
        probes: tuple[Probe, ...] = (*NEEDED, network_namespace)
        for probe in (*probes, idmapped_mount) if way == "root" else probes:
            if way == "userns" and findings["id_map"]["errno"]:
                findings[f"{way} {probe.__name__}"] = findings["id_map"]
            else:
                findings[f"{way} {probe.__name__}"] = _try(probe, room)
    return findings


def _enter(room: Room, flags: int, work: Callable[[], None]) -> None:
    """Do `work` in new namespaces: as we are, or as root of a user namespace in which our one id is 0."""

    def apart() -> None:
        if flags & libc.CLONE_NEWNS:  # or what root mounts would show up outside as well
            libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
        work()

    if room.way == "root":
        _in_namespaces(flags, apart)
        return
    maps = ((0, os.getuid(), 1),), ((0, os.getgid(), 1),)
    _in_namespaces(flags | libc.CLONE_NEWUSER, apart, lambda pid: idmaps.write(pid, *maps, by_helper=False))


def _in_namespaces(flags: int, work: Callable[[], None], introduce: Callable[[int], None] | None = None) -> None:
    """Clone a child into new namespaces, let us `introduce` it from outside, and then do `work` in it.

    Raises the OSError of whichever failed; one from inside comes back by its number.
    """
    go_read, go_write = os.pipe2(os.O_CLOEXEC)
    pid = libc.clone(flags)
    if pid == 0:
        code = errno.EIO
        try:
            os.close(go_write)
            if os.read(go_read, 1):
                work()
                code = 0
        except OSError as error:
            code = error.errno or code
        finally:
            os._exit(code)
    os.close(go_read)
    try:
        if introduce is not None:
            introduce(pid)
        os.write(go_write, b"!")
    finally:
        os.close(go_write)  # a child that was not let go sees the end and leaves
        _pid, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise OSError(abs(code), os.strerror(code) if code > 0 else f"killed by signal {-code}")


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


def _try(probe: Probe, room: Room) -> Finding:
    """Run a probe in a child with a time limit."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            os.write(write_end, json.dumps(_finding(probe, room)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    ready, _write, _error = select.select([read_end], [], [], _LIMIT_MS / 1000)
    said = os.read(read_end, 65536) if ready else b""
    os.close(read_end)
    if not said:
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if said:
        finding: Finding = json.loads(said)
        return finding
    return {"errno": errno.ETIME, "text": "died" if ready else "took too long", "at": "", "detail": ""}


def _finding(probe: Probe, room: Room) -> Finding:
    try:
        return {"errno": 0, "text": "", "at": "", "detail": probe(room)}
    except LookupError as error:
        return {"errno": errno.ENODATA, "text": "no entry", "at": str(error.args[0]), "detail": ""}
    except OSError as error:
        at = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
        return {"errno": error.errno or errno.EIO, "text": error.strerror or str(error), "at": at, "detail": ""}


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
