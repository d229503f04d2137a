"""Filter the system calls of this process and of all it will ever start (seccomp(2)).

Runs in: the newborn, as its last step; a filter cannot be taken off again.
"""

import ctypes
import os
import sys

from pyck_magic.linux import bpf, libc
from pyck_magic.linux.syscalls import NUMBERS

# What a filter may answer (linux/seccomp.h).
ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000

# What a filter sees: struct seccomp_data { int nr; u32 arch; u64 instruction_pointer; u64 args[6]; }
NUMBER = 0
ARCHITECTURE = 4

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


class _SockFprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def refuse(errno: int) -> int:
    """The answer that makes a call fail with `errno`, or with 0 succeed without having been made."""
    return 0x00050000 | errno


def argument(index: int) -> int:
    """Where the low 32 bits of an argument are. All that a filter decides on here are ints to the kernel."""
    return 16 + 8 * index + (0 if sys.byteorder == "little" else 4)


def install(program: bytes) -> None:
    """Filter by `program` from now on; privileges can no longer be gained by exec either (PR_SET_NO_NEW_PRIVS).

    Raises OSError: EINVAL for a program the kernel does not accept, ENOSYS without seccomp in the kernel.
    """
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    number = NUMBERS[os.uname().machine]["seccomp"]
    wanted = _SockFprog(bpf.length(program), program)
    if _syscall(number, _SECCOMP_SET_MODE_FILTER, ctypes.c_ulong(0), ctypes.byref(wanted)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
