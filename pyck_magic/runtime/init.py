"""The container's pid 1: it starts the program as pid 2, reaps orphans, passes signals on, and ends with the program.

Runs in: the newborn, after its last step. As pid 2 the program meets signals with their default action; as pid 1 the
kernel would ignore those it has no handler for (pid_namespaces(7)). When this process ends, the kernel ends the rest.
"""

import errno
import os
import resource
import select
import signal
import socket
import stat
from typing import Any, NoReturn

from pyck_magic.linux import libc
from pyck_magic.model.spec import LaunchSpec
from pyck_magic.runtime import messages
from pyck_magic.runtime.preparing import Birth

_FIRST_OF_OURS = 3
_CHUNK = 1 << 20
_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def run(birth: Birth, tube: socket.socket, stdio: tuple[int, int, int]) -> NoReturn:
    """Start the program, see it end, report, and leave. Never returns."""
    wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    floor_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    program = _start(birth, tube, stdio)
    for fd in set(stdio):
        os.close(fd)
    messages.send(tube, "started", warnings=birth.warnings)
    status, usage, is_last = _follow(program, tube, wake_read)
    missing = [path for path, fd in zip(birth.spec.outputs, birth.output_fds, strict=True) if not _copy_out(birth.spec, path, fd)]
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    messages.send(
        tube, "exited", status=status, missing=missing, max_rss_bytes=usage.ru_maxrss * 1024, floor_bytes=floor_bytes,
        is_last=is_last, user_s=others.ru_utime, system_s=others.ru_stime, own_user_s=own.ru_utime, own_system_s=own.ru_stime,
    )  # fmt: skip
    os._exit(0)


def _start(birth: Birth, tube: socket.socket, stdio: tuple[int, int, int]) -> int:
    """Become the container's user and start the program as its next process; its pid. A failure is told, and is the end."""
    spec = birth.spec
    step = "close_descriptors"
    try:
        libc.close_range_on_exec(_FIRST_OF_OURS)
        step = "take_identity"
        _take_identity(birth, stdio)
        step = "enter_workdir"
        os.chdir(spec.workdir)
        os.getcwd()  # a directory outside our root has no name here (CVE-2024-21626)
        step = "exec"
        return _spawn_first(spec, stdio, trusting=birth.executes_only_inside)
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else spec.workdir
        text = error.strerror or str(error)
        messages.send(tube, "failed", step=step, errno=error.errno or 0, path=path, text=text, is_script=spec.script is not None)
        os._exit(125)


def _take_identity(birth: Birth, stdio: tuple[int, int, int]) -> None:
    """Take the container's user and groups, where there are several. What the kernel resets at that is set again.

    Pipes become the user's first: programs open /dev/stdout by its name, and then its owner counts.
    """
    spec = birth.spec
    if birth.is_root or birth.mould.mapped_by_helper:
        for fd in stdio:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.fchown(fd, spec.uid, -1)
        os.setgroups(spec.groups)
        os.setresgid(spec.gid, spec.gid, spec.gid)
        os.setresuid(spec.uid, spec.uid, spec.uid)
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)


def _follow(program: int, tube: socket.socket, wake_read: int) -> tuple[int, Any, bool]:
    """Reap until the program is among the dead; its wait status, its usage, and whether no other process is left."""
    poll = select.poll()
    poll.register(wake_read, select.POLLIN)
    poll.register(tube, select.POLLIN)
    while True:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == program:
                return status, usage, _nobody_is_left()
            if pid == 0:
                break
        for fd, _event in poll.poll():
            if fd == wake_read:
                os.read(wake_read, 4096)
                continue
            request = messages.receive(tube)
            if request is None:  # the monitor is gone; our own end takes the container along
                os._exit(137)
            _pass_on(program, int(request[0]["number"]))


def _nobody_is_left() -> bool:
    """Reap who has died meanwhile. Whoever still lives is ended by the kernel, together with us."""
    try:
        while os.wait4(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def _pass_on(program: int, number: int) -> None:
    """Signal the program's process group, as a terminal would; the program leads its own session."""
    try:
        os.killpg(program, number)
    except OSError:  # it has ended, or there is no such signal
        return


def _spawn_first(spec: LaunchSpec, stdio: tuple[int, int, int], *, trusting: bool) -> int:
    """Start the first of the choices that exists. Raises the OSError of the last choice when none does."""
    env = dict(entry.split("=", 1) for entry in spec.env)
    missing = OSError(errno.ENOENT, os.strerror(errno.ENOENT), "")
    for argv in spec.argv_choices:
        try:
            return _spawn(argv, env, stdio, trusting=trusting)
        except OSError as error:
            missing = OSError(error.errno, error.strerror, argv[0])
            if error.errno != errno.ENOENT:
                raise missing from error
    raise missing


def _spawn(argv: tuple[str, ...], env: dict[str, str], stdio: tuple[int, int, int], *, trusting: bool) -> int:
    """posix_spawn(3) by the rules of execvpe(3), with the container's own PATH: what is found but may not be executed
    counts more than what is missing. Between its fork and exec the kernel copies nothing, which a fork of Python would pay for.
    """
    names = [argv[0]] if "/" in argv[0] else [f"{directory or '.'}/{argv[0]}" for directory in env.get("PATH", "").split(":")]
    denied: OSError | None = None
    for name in names:
        try:
            os.stat(name)
            if not trusting:
                _refuse_ourselves(name)
            return os.posix_spawn(
                name, argv, env, setsid=True, setsigmask=(), setsigdef=_SIGNALS,
                file_actions=[(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(stdio)],
            )  # fmt: skip
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR) or len(names) == 1:
                denied = denied or error
    raise denied or OSError(errno.ENOENT, os.strerror(errno.ENOENT))


def _refuse_ourselves(name: str) -> None:
    """Where Landlock does not: see that neither the program nor a `#!` on the way is our interpreter (CVE-2019-5736).

    A program that may be executed but not read is refused as well, for nobody can tell what it would start.
    """
    for _nesting in range(5):
        if os.path.samestat(os.stat(name), os.stat("/proc/self/exe")):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            first_line = os.read(fd, 256).partition(b"\n")[0]
        finally:
            os.close(fd)
        words = first_line[2:].split() if first_line.startswith(b"#!") else []
        if not words:
            return
        name = os.fsdecode(words[0])


def _copy_out(spec: LaunchSpec, path: str, to_fd: int) -> bool:
    """Copy one result into the host file opened for it. No path leads out: neither of the root, nor by our descriptors."""
    try:
        root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        inside = libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS
        fd = libc.openat2(root_fd, os.path.join(spec.workdir, path), os.O_RDONLY | os.O_NONBLOCK, resolve=inside)
        os.close(root_fd)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        while chunk := os.read(fd, _CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(to_fd, view) :]
        return True
    except OSError:
        os.ftruncate(to_fd, 0)
        return False
    finally:
        os.close(fd)
