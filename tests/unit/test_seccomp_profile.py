"""The seccomp program, run by an interpreter of our own and held against the table it was made from."""

import errno
import os
import re
import struct
from pathlib import Path

import pytest

from pyck_magic.linux import bpf, capabilities, seccomp
from pyck_magic.linux.syscalls import AUDIT_ARCH, NUMBERS
from pyck_magic.runtime import seccomp_profile
from pyck_magic.runtime.seccomp_profile import ALWAYS, DEFAULT_CAPABILITIES, EMULATED_FOR_ROOT, WITH_CAPABILITY

ALLOW, REFUSE, UNKNOWN, PRETEND = seccomp.ALLOW, seccomp.refuse(errno.EPERM), seccomp.refuse(errno.ENOSYS), seccomp.refuse(0)
MACHINES = sorted(NUMBERS)
HEADERS = {"x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")}


def run(program: bytes, data: bytes) -> tuple[int, int]:
    """The verdict of a classic BPF program on a seccomp_data, and how many instructions it took (Linux's bpf(4) manual)."""
    instructions = list(struct.iter_unpack("=HBBI", program))
    register = position = steps = 0
    while True:
        code, if_true, if_false, constant = instructions[position]
        position += 1
        steps += 1
        match code:
            case 0x06:
                return constant, steps
            case 0x20:
                (register,) = struct.unpack_from("=I", data, constant)
            case 0x54:
                register &= constant
            case 0x05:
                position += constant
            case 0x15:
                position += if_true if register == constant else if_false
            case 0x35:
                position += if_true if register >= constant else if_false
            case 0x45:
                position += if_true if register & constant else if_false
            case _:
                raise AssertionError(f"no instruction of ours: {code:#x}")


def ask(program: bytes, machine: str, number: int, *args: int) -> int:
    """What the program answers to a call."""
    full = (*args, 0, 0, 0, 0, 0, 0)[:6]
    return run(program, struct.pack("=IIQ6Q", number & 0xFFFFFFFF, AUDIT_ARCH[machine], 0, *full))[0]


def expected(name: str, capabilities: frozenset[str], *, emulate_root: bool) -> int:
    """What the table says about a call with all arguments zero."""
    if emulate_root and name in EMULATED_FOR_ROOT:
        return PRETEND
    granted = {call for capability in capabilities for call in WITH_CAPABILITY.get(capability, "").split()}
    if name in granted:
        return ALLOW
    if name == "clone3":
        return UNKNOWN
    always = {call for calls in ALWAYS.values() for call in calls.split()}
    return ALLOW if name in always or name in ("socket", "personality", "clone") else REFUSE


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("emulate_root", [False, True])
@pytest.mark.parametrize(
    "kept",
    [
        frozenset(),
        DEFAULT_CAPABILITIES,
        frozenset(capabilities.NUMBERS),
        *(frozenset({name}) for name in sorted(WITH_CAPABILITY)),
    ],
    ids=lambda kept: "+".join(sorted(kept))[:40] or "none",
)
def test_every_call_meets_what_the_table_says(machine: str, emulate_root: bool, kept: frozenset[str]) -> None:
    """For each call of each machine the compiled program answers as the readable table does."""
    program = seccomp_profile.program(kept, emulate_root=emulate_root, machine=machine)
    wrong = [
        name
        for name, number in NUMBERS[machine].items()
        if ask(program, machine, number) != expected(name, kept, emulate_root=emulate_root)
    ]
    assert wrong == []


@pytest.mark.parametrize("machine", MACHINES)
def test_what_docker_refuses_is_refused(machine: str) -> None:
    """Under the fourteen default capabilities the calls that escapes are made of are refused, by name, not by our table."""
    program = seccomp_profile.program(DEFAULT_CAPABILITIES, machine=machine)
    for name in (
        "mount", "umount2", "unshare", "setns", "pivot_root", "open_by_handle_at", "bpf", "perf_event_open", "kexec_load",
        "init_module", "finit_module", "delete_module", "reboot", "swapon", "add_key", "keyctl", "request_key",
        "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "fsopen", "fsconfig", "fsmount",
        "move_mount", "open_tree", "mount_setattr", "settimeofday", "clock_settime", "acct", "quotactl", "syslog",
        "sethostname", "pidfd_getfd", "kcmp", "move_pages", "migrate_pages", "nfsservctl",
    ):  # fmt: skip
        assert ask(program, machine, NUMBERS[machine][name]) == REFUSE, name


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide_where_the_name_does_not(machine: str) -> None:
    """Namespaces are refused to clone, two families to socket, and all but five values to personality."""
    program = seccomp_profile.program(DEFAULT_CAPABILITIES, machine=machine)
    number = NUMBERS[machine]
    namespaces = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
    assert [ask(program, machine, number["clone"], flag | 17) for flag in namespaces] == [REFUSE] * 7
    assert ask(program, machine, number["clone"], 0x3D0F00) == ALLOW  # what a new thread asks for
    families = [family for family in range(50) if ask(program, machine, number["socket"], family) == REFUSE]
    assert families == [38, 40]
    # The kernel reads an int: high bits must not hide the family.
    assert ask(program, machine, number["socket"], 1 << 32 | 40) == REFUSE
    asked = [0, 8, 0x20000, 0x20008, 0xFFFFFFFF, 0x0040000, 0x4000000, 1]
    assert [ask(program, machine, number["personality"], value) == ALLOW for value in asked] == [True] * 5 + [False] * 3


@pytest.mark.parametrize("machine", MACHINES)
def test_sys_admin_may_make_namespaces(machine: str) -> None:
    """With CAP_SYS_ADMIN clone may take any flag, and clone3 exists."""
    program = seccomp_profile.program(frozenset({"CAP_SYS_ADMIN"}), machine=machine)
    assert ask(program, machine, NUMBERS[machine]["clone"], 0x10000000) == ALLOW
    assert ask(program, machine, NUMBERS[machine]["clone3"]) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_strange_numbers_and_machines(machine: str) -> None:
    """Future calls do not exist (ENOSYS), x32 numbers do not either, and another architecture's calls end the program."""
    program = seccomp_profile.program(DEFAULT_CAPABILITIES, machine=machine)
    highest = max(NUMBERS[machine].values())
    for number in (highest + 1, 1000, 0x40000000, 0x40000000 | 59, 0xFFFFFFFF):
        assert ask(program, machine, number) == UNKNOWN
    i386, arm = 0x40000003, 0x40000028
    for foreign in (i386, arm):
        verdict, _steps = run(program, struct.pack("=IIQ6Q", 0, foreign, 0, 0, 0, 0, 0, 0, 0))
        assert verdict == seccomp.KILL_PROCESS


def test_devices_are_pretended_and_fifos_are_made() -> None:
    """The emulation answers mknod of character and block devices with success; FIFOs, sockets and files go to the kernel."""
    program = seccomp_profile.program(DEFAULT_CAPABILITIES, emulate_root=True, machine="x86_64")
    mknod, mknodat = NUMBERS["x86_64"]["mknod"], NUMBERS["x86_64"]["mknodat"]
    devices, others = (0o020666, 0o060660), (0o010644, 0o140644, 0o100644, 0o644)
    for mode, answer in [(mode, PRETEND) for mode in devices] + [(mode, ALLOW) for mode in others]:
        assert ask(program, "x86_64", mknod, 0, mode, 0x103) == answer
        assert ask(program, "x86_64", mknodat, 0, 0, mode, 0x103) == answer


@pytest.mark.parametrize("machine", MACHINES)
def test_a_call_is_decided_in_a_dozen_instructions(machine: str) -> None:
    """The tree is balanced: no call whose arguments do not matter costs more than fourteen instructions."""
    program = seccomp_profile.program(DEFAULT_CAPABILITIES, machine=machine)
    assert bpf.length(program) <= 255
    special = {"clone", "socket", "personality"}
    steps = {
        name: run(program, struct.pack("=IIQ6Q", number, AUDIT_ARCH[machine], 0, 0, 0, 0, 0, 0, 0))[1]
        for name, number in NUMBERS[machine].items()
        if name not in special
    }
    assert max(steps.values()) <= 14


def test_far_jumps_reach() -> None:
    """A branch longer than the 255 instructions of a conditional jump still goes where it should."""
    ways = {number: bpf.verdict(number) for number in range(0, 3000, 2)}
    program = bpf.load(0, bpf.decide(ways, bpf.verdict(0xFFFF)))
    for number in (0, 1, 2, 1499, 1500, 2997, 2998, 2999, 5000):
        assert run(program, struct.pack("=I", number))[0] == (number if number in ways else 0xFFFF)


def test_no_name_is_misspelt() -> None:
    """Every name in the table is a call of some machine we know, and every capability exists."""
    known = NUMBERS["x86_64"].keys() | NUMBERS["aarch64"].keys()
    named = {name for names in (*ALWAYS.values(), *WITH_CAPABILITY.values()) for name in names.split()} | set(EMULATED_FOR_ROOT)
    assert named - known == set()
    assert (WITH_CAPABILITY.keys() | DEFAULT_CAPABILITIES) - capabilities.NUMBERS.keys() == set()
    assert len(DEFAULT_CAPABILITIES) == 14


def test_numbers_are_the_headers() -> None:
    """Where the kernel's headers are installed, each number in them is ours."""
    header = HEADERS.get(os.uname().machine)
    if header is None or not header.exists():
        pytest.skip("no kernel headers for this machine")
    theirs = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
    ours = NUMBERS[os.uname().machine]
    assert {name: (number, ours.get(name)) for name, number in theirs.items() if ours.get(name, number) != number} == {}
    assert len(theirs) > 300
