"""Who a container's program runs as: `--user` and `USER`, looked up in the image's own files.

Runs in: the notebook kernel. Only reads: no code of the image runs, no NSS library is loaded (CVE-2019-14271).
"""

import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from pyck_magic.linux import libc
from pyck_magic.model.errors import BadRequest

# passwd(5) of a large site has some 100 KB; what is larger wants to hurt (CVE-2026-47262).
_LARGEST_BYTES = 1 << 20
_HIGHEST_ID = 2**31 - 1  # above, runtimes have wrapped to root (CVE-2024-40635)


class Identity(NamedTuple):
    """Numbers for the kernel, and the home directory for $HOME."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def identify(user: str, layers: Sequence[str]) -> Identity:
    """Resolve `name`, `uid`, `name:group` or `uid:gid` against /etc/passwd and /etc/group of an image.

    `layers` are its directories, base first. As in Docker a number is a number even if somebody's name looks like it,
    a bare number unknown to passwd gets group 0, and named users get the groups they are listed in.
    Raises BadRequest for names the image does not know and for ids out of range.
    """
    wanted_user, _, wanted_group = user.partition(":")
    passwd = [line.split(":") for line in _read(layers, "passwd").splitlines()]
    entries = [fields for fields in passwd if len(fields) >= 6 and _is_id(fields[2])]
    number = _number(wanted_user or "0", "user")
    entry = next((e for e in entries if (int(e[2]) == number if number is not None else e[0] == wanted_user)), None)
    if number is None and entry is None:
        raise BadRequest(
            f"unable to find user {wanted_user}: no matching entries in passwd file",
            hint="give a number, or a name that the image's /etc/passwd has",
        )
    uid = number if number is not None else _in_range(int(entry[2]), "user") if entry else 0
    groups_file = [line.split(":") for line in _read(layers, "group").splitlines()]
    known_groups = [fields for fields in groups_file if len(fields) >= 4 and _is_id(fields[2])]
    home = (entry[5] or "/") if entry else "/"
    if wanted_group:
        return Identity(uid, _group(wanted_group, known_groups), (), home)
    if entry is None:
        return Identity(uid, 0, (), home)
    gid = _in_range(int(entry[3]), "group") if _is_id(entry[3]) else 0
    extra = tuple(int(fields[2]) for fields in known_groups if entry[0] in fields[3].split(",") and int(fields[2]) != gid)
    return Identity(uid, gid, tuple(_in_range(number, "group") for number in extra), home)


def _group(text: str, known: list[list[str]]) -> int:
    number = _number(text, "group")
    if number is not None:
        return number
    for fields in known:
        if fields[0] == text:
            return _in_range(int(fields[2]), "group")
    raise BadRequest(
        f"unable to find group {text}: no matching entries in group file",
        hint="give a number, or a name that the image's /etc/group has",
    )


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _number(text: str, kind: str) -> int | None:
    if not text.lstrip("+-").isdigit() or not text.isascii():
        return None
    return _in_range(int(text) if len(text) < 20 else -1, kind)


def _in_range(number: int, kind: str) -> int:
    if not 0 <= number <= _HIGHEST_ID:
        raise BadRequest(f"{kind} ids must be between 0 and {_HIGHEST_ID}")
    return number


def _read(layers: Sequence[str], name: str) -> str:
    """The image's /etc/`name`: from the topmost layer that says something about it; nothing if it is no plain file."""
    for layer in reversed(layers):
        try:
            layer_fd = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fd = libc.openat2(
                layer_fd,
                f"etc/{name}",
                os.O_RDONLY | os.O_NONBLOCK,
                resolve=libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_MAGICLINKS,
            )
        except FileNotFoundError:
            if _hides_what_is_below(layer_fd):
                return ""
            continue
        except OSError:  # a whiteout (a device without driver), a link in circles: nothing there
            return ""
        finally:
            os.close(layer_fd)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return ""
            return os.read(fd, _LARGEST_BYTES).decode("utf-8", "replace")
        finally:
            os.close(fd)
    return ""


def _hides_what_is_below(layer_fd: int) -> bool:
    """Does this layer say that nothing of lower layers' /etc shows through (an opaque directory)?"""
    inside = libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_SYMLINKS
    for path in ("etc", "."):
        try:
            fd = libc.openat2(layer_fd, path, os.O_RDONLY | os.O_DIRECTORY, resolve=inside)
        except OSError:
            continue
        try:
            if os.getxattr(fd, "user.overlay.opaque") == b"y":
                return True
        except OSError:
            continue  # no such attribute
        finally:
            os.close(fd)
    return False
