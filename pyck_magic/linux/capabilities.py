"""What root may do, cut into pieces (capabilities(7)).

Runs in: the newborn. Numbers are from `linux/capability.h`.
"""

import ctypes
import errno
import os
import struct

from pyck_magic.linux import libc

NUMBERS: dict[str, int] = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5,
    "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_LINUX_IMMUTABLE": 9, "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_BROADCAST": 11, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14, "CAP_IPC_OWNER": 15,
    "CAP_SYS_MODULE": 16, "CAP_SYS_RAWIO": 17, "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19, "CAP_SYS_PACCT": 20,
    "CAP_SYS_ADMIN": 21, "CAP_SYS_BOOT": 22, "CAP_SYS_NICE": 23, "CAP_SYS_RESOURCE": 24, "CAP_SYS_TIME": 25,
    "CAP_SYS_TTY_CONFIG": 26, "CAP_MKNOD": 27, "CAP_LEASE": 28, "CAP_AUDIT_WRITE": 29, "CAP_AUDIT_CONTROL": 30,
    "CAP_SETFCAP": 31, "CAP_MAC_OVERRIDE": 32, "CAP_MAC_ADMIN": 33, "CAP_SYSLOG": 34, "CAP_WAKE_ALARM": 35,
    "CAP_BLOCK_SUSPEND": 36, "CAP_AUDIT_READ": 37, "CAP_PERFMON": 38, "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40,
}  # fmt: skip

_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522
_HIGHEST = 63

_libc = ctypes.CDLL(None, use_errno=True)
_capget, _capset = _libc.capget, _libc.capset  # looked up once, not in every newborn


def limit_to(keep: frozenset[str]) -> None:
    """Have no program that this process will ever exec get more than `keep`, whatever it is; our own powers stay.

    The ambient set becomes empty: what is in it would survive an exec as an ordinary user (CVE-2022-24769).
    Raises KeyError for an unknown name, OSError (EPERM) without CAP_SETPCAP.
    """
    kept = _bits(keep)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(_HIGHEST + 1):
        if not kept >> number & 1:
            try:
                libc.prctl(_PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                break  # the kernel knows no more of them


def drop_to(keep: frozenset[str]) -> None:
    """Give up all capabilities but `keep`. None are inheritable afterwards. Raises KeyError for an unknown name, OSError."""
    kept = _bits(keep)
    try:
        _set(effective=kept, permitted=kept, inheritable=0)
    except PermissionError:  # some of it was never ours to keep
        kept &= permitted()
        _set(effective=kept, permitted=kept, inheritable=0)


def _bits(names: frozenset[str]) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def permitted() -> int:
    """The permitted set of this process, one bit a capability (capget(2))."""
    data = ctypes.create_string_buffer(24)
    _check(_capget(_header(), data))
    _effective, low, _inheritable, _effective_high, high, _inheritable_high = struct.unpack("=6I", data.raw)
    return int(low | high << 32)


def _set(*, effective: int, permitted: int, inheritable: int) -> None:
    sets = (effective, permitted, inheritable)
    data = struct.pack("=6I", *(each & 0xFFFFFFFF for each in sets), *(each >> 32 for each in sets))
    _check(_capset(_header(), data))


def _header() -> bytes:
    return struct.pack("=Ii", _VERSION_3, 0)


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
