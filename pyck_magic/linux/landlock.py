"""Limit what this process and its children may execute to one directory tree (landlock(7)).

Runs in: the newborn. Constants are from `linux/landlock.h`.

A container cannot see the host's files, but `/proc/self/exe` is no path: until its first exec a newborn's leads to the
Python it was forked from, and `#!/proc/self/exe` in an image would run that Python's file with the image's own dynamic
loader in it, from where it can be opened and, a moment later, overwritten (CVE-2019-5736). Landlock asks where a file
lies, however it was reached.
"""

import ctypes
import errno
import os
import struct

from pyck_magic.linux import libc
from pyck_magic.linux.syscalls import NUMBERS

_ACCESS_EXECUTE = 1 << 0
_ACCESS_REFER = 1 << 13  # unless it is granted, nothing can be renamed from one directory to another
_RULE_PATH_BENEATH = 1
_CREATE_RULESET_VERSION = 1
_FIRST_WITH_REFER = 2
_PR_SET_NO_NEW_PRIVS = 38

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long


def execute_only_below(root: str) -> bool:
    """From now on only files below `root` can be executed. False, and no change, before Linux 5.19 or without Landlock.

    Raises OSError. Privileges can no longer be gained by exec (PR_SET_NO_NEW_PRIVS), and nothing can be mounted.
    """
    try:
        version = _call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint(_CREATE_RULESET_VERSION))
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return False
        raise
    if version < _FIRST_WITH_REFER:
        return False
    rights = struct.pack("=Q", _ACCESS_EXECUTE | _ACCESS_REFER)
    rules = _call("landlock_create_ruleset", rights, ctypes.c_size_t(len(rights)), ctypes.c_uint(0))
    try:
        root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _call("landlock_add_rule", rules, _RULE_PATH_BENEATH, rights + struct.pack("=i", root_fd), ctypes.c_uint(0))
        finally:
            os.close(root_fd)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _call("landlock_restrict_self", rules, ctypes.c_uint(0))
    finally:
        os.close(rules)
    return True


def _call(name: str, *args: object) -> int:
    result = int(_syscall(NUMBERS[os.uname().machine][name], *args))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
