"""The steps of a birth that need only the mould: a sandbox goes this far before anybody asks for it.

Runs in: the newborn, between clone and exec.
"""

import fcntl
import os
import socket
import struct

from pyck_magic.linux import capabilities, libc
from pyck_magic.linux.libc import (
    MOUNT_ATTR_RDONLY,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
)
from pyck_magic.model.spec import LaunchSpec, Mould
from pyck_magic.runtime import targets

# What `docker run` hides from a container, and what it shows read-only.
MASKED = (
    "proc/acpi", "proc/asound", "proc/interrupts", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/sched_debug",
    "proc/scsi", "proc/timer_list", "proc/timer_stats",
    "sys/devices/virtual/powercap", "sys/firmware",
)  # fmt: skip
READ_ONLY = ("proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger")
NODES = ("null", "zero", "full", "random", "urandom", "tty")


class Birth:
    """What the steps hand to each other."""

    def __init__(self, mould: Mould, state_fd: int, owner_fd: int) -> None:
        self.mould = mould
        self.state_fd = state_fd  # our folder, which is moved when the container is asked for
        self.spec: LaunchSpec
        self.root_fd = -1
        self.owner_fd = owner_fd  # a user namespace for idmapped mounts, made by the monitor
        self.executes_only_inside = False
        self.output_fds: list[int] = []
        self.warnings: list[str] = []

    def at(self, path: str) -> str:
        """A path in the staging tmpfs."""
        return f"{self.mould.staging}/{path}"

    @property
    def is_root(self) -> bool:
        return self.mould.mode == "root"


def part_from_the_host(birth: Birth) -> None:
    """Make every mount private, so that nothing mounted from here on is seen outside (mount_namespaces(7))."""
    libc.mount(None, "/", None, MS_REC | MS_PRIVATE)


def become_root_inside(birth: Birth) -> None:
    """With a range of ids, take id 0 of the new user namespace; with a single id there is nothing to change to."""
    if birth.mould.mapped_by_helper:
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)


def pitch_staging(birth: Birth) -> None:
    """Mount a small tmpfs, seen by this container alone, on which its root is put together."""
    libc.mount("tmpfs", birth.mould.staging, "tmpfs", MS_NOSUID, "mode=0755,size=8m")
    for name in ("root", "layers", "proc", "sys", "dev", "etc"):
        os.mkdir(birth.at(name), 0o755)


def make_dev(birth: Birth) -> None:
    """Build /dev from nothing: the six harmless nodes, terminals, shared memory and message queues of its own.

    The nodes are bind mounts of the host's, on a tmpfs on which no other device can be opened: root in a container may
    make device nodes, as under Docker, but there is no mount of its own on which they would lead to a disk.
    """
    dev = birth.at("dev")
    libc.mount("tmpfs", dev, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64m")
    for name in NODES:
        os.close(os.open(f"{dev}/{name}", os.O_CREAT | os.O_CLOEXEC, 0o666))
        libc.mount(f"/dev/{name}", f"{dev}/{name}", None, MS_BIND)
    for name, to in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
                     ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")):  # fmt: skip
        os.symlink(to, f"{dev}/{name}")
    for name in ("pts", "shm", "mqueue", "pyck", "pyck/in"):
        os.mkdir(f"{dev}/{name}", 0o755)
    # Group 5 is `tty` in every distribution; a single-id namespace does not know it.
    tty_group = ",gid=5" if birth.is_root or birth.mould.mapped_by_helper else ""
    libc.mount("devpts", f"{dev}/pts", "devpts", MS_NOSUID | MS_NOEXEC, f"newinstance,ptmxmode=0666,mode=0620{tty_group}")
    libc.mount("shm", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=64m")
    libc.mount("mqueue", f"{dev}/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV)


def make_proc(birth: Birth) -> None:
    """Mount the /proc of the new PID namespace, in which this process is number 1 (proc(5))."""
    libc.mount("proc", birth.at("proc"), "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV)


def make_sys(birth: Birth) -> None:
    """Show /sys read-only: a fresh one where the network namespace is ours, else the host's, tree and all."""
    if birth.is_root or birth.mould.network == "none":
        libc.mount("sysfs", birth.at("sys"), "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY)
        return
    copy = libc.open_tree(libc.AT_FDCWD, "/sys", libc.OPEN_TREE_CLONE | libc.OPEN_TREE_CLOEXEC | libc.AT_RECURSIVE)
    try:
        libc.mount_setattr(copy, "", libc.AT_EMPTY_PATH | libc.AT_RECURSIVE, attr_set=MOUNT_ATTR_RDONLY)
        libc.move_mount(copy, "", libc.AT_FDCWD, birth.at("sys"), libc.MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(copy)


def mask_paths(birth: Birth) -> None:
    """Cover what would tell about, or reach, the host: /dev/null over files, an empty tmpfs over directories."""
    null = birth.at("dev/null")
    for path in MASKED:
        there = birth.at(path)
        if os.path.isdir(there):
            libc.mount("tmpfs", there, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=0,mode=0755")
        elif os.path.exists(there):
            libc.mount(null, there, None, MS_BIND)
    for path in READ_ONLY:
        there = birth.at(path)
        if os.path.exists(there):
            libc.mount(there, there, None, MS_BIND | MS_REC)
            libc.mount(None, there, None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)


def raise_loopback(birth: Birth) -> None:
    """Without a network there is still localhost: bring `lo` up in the new namespace (netdevice(7))."""
    if birth.mould.network == "none":
        siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 0x1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
            request = struct.pack("16sH14x", b"lo", 0)
            flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, siocgifflags, request))[1]
            fcntl.ioctl(any_socket, siocsifflags, struct.pack("16sH14x", b"lo", flags | iff_up))


def stack_layers(birth: Birth) -> None:
    """Stack the image's layers with overlayfs and put the container's own writable layer on top.

    The option string is cut at a page, and `:` and `,` in paths would need escapes: so each directory gets a one-word
    name, by a link on the staging tmpfs. `volatile` saves the syncs that a container removed at its end never needs.
    """
    layers = birth.mould.layers
    for number, layer in enumerate(layers):
        os.symlink(layer, birth.at(f"layers/{number}"))
    if not layers:
        os.mkdir(birth.at("layers/0"))
    lower = ":".join(str(number) for number in reversed(range(max(1, len(layers)))))
    options = f"lowerdir={lower},upperdir=u,workdir=w"
    if not birth.is_root:
        options += ",userxattr"
    if birth.mould.remove:
        options += ",volatile"
    os.chdir(birth.at("layers"))
    for is_second_try in (False, True):
        # Whoever asks for this container moves our folder, once, and may do so at any moment.
        state = os.readlink(f"/proc/self/fd/{birth.state_fd}")
        os.symlink(f"{state}/upper", "u")
        os.symlink(f"{state}/work", "w")
        try:
            libc.mount("overlay", birth.at("root"), "overlay", MS_NODEV, options)
            break
        except FileNotFoundError:
            if is_second_try:
                raise
        os.unlink("u")
        os.unlink("w")
    os.close(birth.state_fd)
    birth.root_fd = os.open(birth.at("root"), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def move_in_dev_proc_sys(birth: Birth) -> None:
    """Move /dev, /proc and /sys under the new root. An image in which one of them is a link is refused."""
    for name in ("dev", "proc", "sys"):
        target = targets.plain_directory(birth.root_fd, name)
        libc.move_mount(libc.AT_FDCWD, birth.at(name), target, "", libc.MOVE_MOUNT_T_EMPTY_PATH)
        os.close(target)


def bind_etc(birth: Birth) -> None:
    """Bind files over the image's hosts, hostname and resolv.conf. They are still empty: their content comes last."""
    for name in birth.mould.etc:
        source = birth.at(f"etc/{name}")
        os.makedirs(os.path.dirname(source), exist_ok=True)
        os.close(os.open(source, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))
        targets.bind(source, birth.root_fd, f"/etc/{name}", directory=False)


def limit_powers(birth: Birth) -> None:
    """Bound what any program in the container can ever have to Docker's fourteen capabilities (capabilities(7))."""
    capabilities.limit_to(frozenset(birth.mould.capabilities))
