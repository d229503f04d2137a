"""Filter and capabilities on a real kernel: a child under them, and the same child without as control."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from pyck_magic.runtime.seccomp_profile import DEFAULT_CAPABILITIES

CHILD = """
import ctypes, errno, json, os, socket, stat, sys, threading
from pyck_magic.linux import capabilities, libc, seccomp
from pyck_magic.linux.syscalls import NUMBERS
from pyck_magic.runtime import seccomp_profile

confined, keep, emulate, room = json.loads(sys.argv[1])
if confined:
    keep = frozenset(keep)
    if os.geteuid() == 0:
        capabilities.limit_to(keep)
        capabilities.drop_to(keep)
    seccomp.install(seccomp_profile.program(keep, emulate_root=emulate))
numbers = NUMBERS[os.uname().machine]
raw = ctypes.CDLL(None, use_errno=True)
raw.syscall.restype = ctypes.c_long

def call(name, *args):
    # In a child: some of these calls change who we are.
    pid = os.fork()
    if pid == 0:
        result = raw.syscall(numbers[name], *args)
        os._exit(0 if result >= 0 else ctypes.get_errno())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

"""

END = """
print(json.dumps(answers))
"""


def ask(
    questions: str, *, confined: bool, keep: frozenset[str] = DEFAULT_CAPABILITIES, emulate: bool = False, room: str = ""
) -> dict[str, int]:
    """Run `questions`, which fill `answers`, in a child of its own."""
    argument = json.dumps([confined, sorted(keep), emulate, room])
    done = subprocess.run([sys.executable, "-c", CHILD + questions + END, argument], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert isinstance(answers, dict)
    return answers


QUESTIONS = """
answers = {
    "unshare a user namespace": call("unshare", 0x10000000),
    "clone a user namespace": call("clone", 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": call("clone3", 0, 0),
    "open_tree": call("open_tree", -100, b"/", 0x1),
    "AF_VSOCK": call("socket", 40, 1, 0),
    "AF_ALG": call("socket", 38, 5, 0),
    "AF_UNIX": call("socket", 1, 1, 0),
    "personality(0xffffffff)": call("personality", 0xFFFFFFFF),
    "personality(ADDR_NO_RANDOMIZE)": call("personality", 0x0040000),
    "io_uring_setup": call("io_uring_setup", 8, ctypes.create_string_buffer(120)),
    "number 600": call("getpid") or raw.syscall(600) == -1 and ctypes.get_errno(),
}
"""


def test_the_filter_refuses_what_works_without_it() -> None:
    """Namespaces, mounts, AF_VSOCK's and AF_ALG's families, odd personalities and io_uring: refused inside, not outside."""
    outside, inside = ask(QUESTIONS, confined=False), ask(QUESTIONS, confined=True)
    for name in ("unshare a user namespace", "clone a user namespace", "personality(ADDR_NO_RANDOMIZE)", "io_uring_setup"):
        assert (outside[name], inside[name]) == (0, errno.EPERM), name
    assert outside["clone3"] in (errno.EFAULT, errno.EINVAL)  # it exists, and dislikes our arguments
    assert inside["clone3"] == errno.ENOSYS
    assert inside["open_tree"] == inside["AF_VSOCK"] == inside["AF_ALG"] == errno.EPERM
    assert outside["AF_VSOCK"] != errno.EPERM and outside["AF_ALG"] != errno.EPERM
    assert inside["AF_UNIX"] == inside["personality(0xffffffff)"] == 0
    assert outside["number 600"] == inside["number 600"] == errno.ENOSYS


def test_threads_processes_and_pipes_live_under_the_filter() -> None:
    """Ordinary programs do not notice it: a thread, a child by posix_spawn, and a socket to oneself."""
    answers = ask(
        """
import subprocess
thread = threading.Thread(target=lambda: answers.update(thread=0))
answers = {}
thread.start(); thread.join()
answers["child"] = subprocess.run(["/bin/sh", "-c", "echo x | cat >/dev/null"]).returncode
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
answers["status"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith(("NoNewPrivs", "Seccomp:"))]
""",
        confined=True,
    )
    assert answers == {"thread": 0, "child": 0, "status": ["1", "2"]}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="int 0x80 is x86")
def test_the_way_round_through_32_bit_calls_is_death() -> None:
    """A 64-bit program that makes an i386 call by int 0x80 would be judged by other numbers; it is ended instead."""
    assembly = "b8 14 00 00 00 cd 80 c3"  # mov eax, 20 (getpid); int 0x80; ret
    questions = f"""
import mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes.fromhex({assembly!r}))
function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
pid = os.fork()
if pid == 0:
    os._exit(0 if function() == os.getpid() else 1)
answers = {{"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}}
"""
    if ask(questions, confined=False) != {"status": 0}:
        pytest.skip("this kernel has no 32-bit calls")
    assert ask(questions, confined=True) == {"status": -signal.SIGSYS}


EMULATION = """
os.chdir(room)
open("file", "w").close()
answers = {
    "chown": call("chown", b"file", 12345, 12345) if "chown" in numbers else call("fchownat", -100, b"file", 12345, 12345, 0),
    "setresuid": call("setresuid", 42, 42, 42),
    "setgroups": call("setgroups", 0, 0),
    "kexec_load": call("kexec_load", 0, 0, 0, 0),
    "device": call("mknodat", -100, b"device", 0o020666, os.makedev(1, 3)),
    "fifo": call("mknodat", -100, b"fifo", 0o010666, 0),
}
answers["made"] = sorted(os.listdir("."))
answers["owner"] = os.stat("file").st_uid - os.geteuid()
"""


def test_root_emulation_pretends_and_does_nothing(tmp_path: os.PathLike[str]) -> None:
    """With the emulation chown, set*id, setgroups and devices succeed without any effect; a FIFO is really made."""
    answers = ask(EMULATION, confined=True, keep=frozenset(), emulate=True, room=os.fspath(tmp_path))
    assert answers.pop("made") == ["fifo", "file"]
    assert answers == {"chown": 0, "setresuid": 0, "setgroups": 0, "kexec_load": 0, "device": 0, "fifo": 0, "owner": 0}


def test_without_the_emulation_one_id_cannot_become_another(tmp_path: os.PathLike[str]) -> None:
    """The control: the same program without capabilities and without the emulation is refused each of them."""
    answers = ask(EMULATION, confined=True, keep=frozenset(), emulate=False, room=os.fspath(tmp_path))
    assert answers.pop("made") == ["fifo", "file"]
    refused = {"chown": 1, "setresuid": 1, "setgroups": 1, "kexec_load": 1, "device": 1}
    assert answers == {**refused, "fifo": 0, "owner": 0}


def capability_sets(confined: bool, keep: frozenset[str]) -> dict[str, int]:
    """The five sets of a program exec'd from the child (a set that survives exec is the one that counts)."""
    questions = """
import subprocess
status = subprocess.run(["/bin/cat", "/proc/self/status"], capture_output=True, text=True).stdout
answers = {line[:6]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}
"""
    return ask(questions, confined=confined, keep=keep)


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to drop")
def test_capabilities_shrink_to_what_is_kept() -> None:
    """After an exec root has just what was kept in three sets, and nothing in the inheritable and ambient ones."""
    from pyck_magic.linux import capabilities

    before = capability_sets(False, DEFAULT_CAPABILITIES)
    for keep in (DEFAULT_CAPABILITIES, frozenset({"CAP_SYS_ADMIN", "CAP_KILL"}), frozenset()):
        bits = sum(1 << capabilities.NUMBERS[name] for name in keep) & before["CapPrm"]
        assert before["CapBnd"] & ~bits, "the control has more to lose"
        assert capability_sets(True, keep) == {"CapInh": 0, "CapPrm": bits, "CapEff": bits, "CapBnd": bits, "CapAmb": 0}


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root has capabilities to drop")
def test_what_was_given_up_cannot_be_kept() -> None:
    """Keeping a capability that is gone already is no error, and does not bring it back."""
    questions = """
capabilities.drop_to(frozenset({"CAP_KILL", "CAP_SETPCAP"}))
capabilities.drop_to(frozenset({"CAP_KILL", "CAP_SYS_ADMIN"}))
answers = {"permitted": capabilities.permitted()}
"""
    assert ask(questions, confined=False) == {"permitted": 1 << 5}


def test_a_broken_program_is_refused_by_the_kernel() -> None:
    """What is no filter raises EINVAL."""
    done = subprocess.run(
        [sys.executable, "-c", "from pyck_magic.linux import seccomp; seccomp.install(b'\\0' * 8)"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "OSError: [Errno 22]" in done.stderr
