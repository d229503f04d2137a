"""The newborn: it makes its own container, step by step, and then starts the program in it.

Runs in: the newborn. Nothing may be imported once the root has changed: the modules would be the image's.
"""

import os
import signal
import socket
from typing import NoReturn

from pyck_magic.linux import capabilities, libc
from pyck_magic.model.spec import Bind, LaunchSpec, Mould
from pyck_magic.runtime import birth as steps_of_birth
from pyck_magic.runtime import init, messages, seccomp_profile
from pyck_magic.runtime.preparing import Birth


def live(mould: Mould, state_fd: int, tube: socket.socket, requests: socket.socket, owner_fd: int) -> NoReturn:
    """Prepare, wait for the request, finish, and become the container's pid 1. Never returns.

    `tube` leads to the monitor, `requests` to whoever will ask for the container.
    """
    step = "wait_for_the_id_maps"
    birth = Birth(mould, state_fd, owner_fd)
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.set_process_name("pyck init")
        _close_what_is_not_ours(tube, requests, state_fd, owner_fd)
        if mould.uid_map and messages.receive(tube) is None:
            os._exit(0)
        for prepare in steps_of_birth.PREPARE:
            step = prepare.__name__
            prepare(birth)
        step = "rehearse"
        _rehearse(birth)
        step = "wait_for_the_request"
        request = messages.receive(requests)
        if request is None:
            os._exit(0)
        spec_fd, stdin, stdout, stderr = request[1]
        birth.spec = LaunchSpec.from_json(messages.contents(spec_fd))
        for finish in steps_of_birth.FINISH:
            step = finish.__name__
            finish(birth)
        os.close(spec_fd)
        requests.close()
        step = "start_program"
        init.run(birth, tube, (stdin, stdout, stderr))
    except OSError as error:
        text = error.strerror or str(error)
        messages.send(tube, "failed", step=step, errno=error.errno or 0, path=_text(error.filename), text=text)
    except BaseException as error:
        # Whatever it is, it must end here: an escaped exception would run the launcher's code as a second launcher.
        messages.send(tube, "failed", step=step, errno=0, path="", text=f"{type(error).__name__}: {error}")
    os._exit(125)


def _close_what_is_not_ours(tube: socket.socket, requests: socket.socket, state_fd: int, owner_fd: int) -> None:
    """Keep only the descriptors we need, and nothing of the host's under the standard ones.

    This process never execs, so close-on-exec closes nothing here. And whatever stays open could be reached in the
    container by /proc/self/fd/N in a path that we follow for it: a working directory, a program, a result (CVE-2024-21626).
    """
    libc.close_all_but(tube.fileno(), requests.fileno(), state_fd, owner_fd)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)


def _rehearse(birth: Birth) -> None:
    """Go through what will be done in a hurry, without consequences.

    A fork shares its memory until it touches it, page by page; who has touched it before need not wait for that later.
    """
    spec = LaunchSpec(
        id="", mould=birth.mould, state="", hostname="", argv_choices=(("true",),), env=("PATH=/bin",), workdir="/",
        uid=0, gid=0, binds=(Bind(source="/", target="/"),), etc=(("hosts", ""),),
    )  # fmt: skip
    LaunchSpec.from_json(spec.to_json())
    for emulate_root in (False, True):
        seccomp_profile.program(frozenset(birth.mould.capabilities), emulate_root=emulate_root)
    capabilities.permitted()


def _text(path: object) -> str:
    return os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
