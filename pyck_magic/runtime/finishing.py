"""The steps of a birth that need the request: what this container is told, given, and denied.

Runs in: the newborn, between the request and exec.
"""

import os
import socket

from pyck_magic.linux import capabilities, landlock, libc, seccomp
from pyck_magic.runtime import seccomp_profile, targets
from pyck_magic.runtime.preparing import Birth
from pyck_magic.runtime.targets import Refused

CELL = "/dev/pyck/cell"
INPUTS = "/dev/pyck/in"


def write_etc(birth: Birth) -> None:
    """Tell the container its name, its neighbours and its name servers, so that names resolve as they do outside."""
    for name, content in birth.spec.etc:
        fd = os.open(birth.at(f"etc/{name}"), os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, content.encode("utf-8", "surrogateescape"))
        finally:
            os.close(fd)


def bind_volumes(birth: Birth) -> None:
    """Bind host directories and files, shallow ones first. What an image links into /proc or /sys is refused."""
    for bind in sorted(birth.spec.binds, key=lambda bind: bind.target.count("/")):
        directory = os.path.isdir(bind.source)
        owner_fd = birth.owner_fd if bind.own else -1
        try:
            targets.bind(
                bind.source,
                birth.root_fd,
                bind.target,
                directory=directory,
                read_only=bind.read_only,
                owner_fd=owner_fd,
            )
        except OSError as error:
            if owner_fd < 0 or isinstance(error, Refused):
                raise
            # Filesystems without idmapped mounts (NFS, FUSE): the files come in with the owner they have.
            birth.warnings.append(
                f"{bind.source} cannot be shown as the container user's ({error.strerror}); writing there may be refused"
            )
            targets.bind(bind.source, birth.root_fd, bind.target, directory=directory, read_only=bind.read_only)
        if bind.own:
            targets.open_the_way(birth.root_fd, bind.target)
    if birth.owner_fd >= 0:
        os.close(birth.owner_fd)


def hand_in_script(birth: Birth) -> None:
    """Put the cell's body under /dev/pyck, where no image can have put anything."""
    if birth.spec.script is None:
        return
    fd = os.open(CELL[1:], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o555, dir_fd=birth.root_fd)
    try:
        data = memoryview(birth.spec.script.encode("utf-8", "surrogateescape"))
        while data:
            data = data[os.write(fd, data) :]
        os.fchmod(fd, 0o555)
    finally:
        os.close(fd)


def open_outputs(birth: Birth) -> None:
    """Open the host files into which results will be copied, while the host can still be seen."""
    for number in range(len(birth.spec.outputs)):
        path = f"{birth.spec.state}/out/{number}"
        birth.output_fds.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def change_root(birth: Birth) -> None:
    """Swap the roots and let go of the old one: from here on the host's files have no name (pivot_root(2))."""
    os.fchdir(birth.root_fd)
    libc.pivot_root(".", ".")
    libc.umount2(".", libc.MNT_DETACH)
    os.chdir("/")
    os.close(birth.root_fd)


def name_the_host(birth: Birth) -> None:
    """Set the host name of the new UTS namespace."""
    socket.sethostname(birth.spec.hostname)


def make_workdir(birth: Birth) -> None:
    """Make the working directory if the image lacks it, as Docker does."""
    os.umask(0o022)
    os.makedirs(birth.spec.workdir, exist_ok=True)


def drop_powers(birth: Birth) -> None:
    """Keep those capabilities only, forbid to gain others, and filter the system calls.

    Undumpable, this process cannot be looked into from the container: not its memory, its descriptors, nor through
    /proc/1/exe the interpreter it runs (CVE-2016-9962). Nor can the program be that interpreter, by the name
    /proc/self/exe, which would give the container a hold on the host's file (CVE-2019-5736).
    """
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    keep = frozenset(birth.mould.capabilities)
    capabilities.drop_to(keep)
    birth.executes_only_inside = landlock.execute_only_below("/")
    seccomp.install(seccomp_profile.program(keep, emulate_root=birth.spec.emulate_root))
