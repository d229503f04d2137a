"""Ask this machine what it can do, and remember the answer.

Runs in: the notebook kernel, or the `pyck` command; the trying out happens in a process of its own (`runtime.probe`).
"""

import json
import os
from typing import Any

from pyck_magic.model.errors import NotPossibleHere
from pyck_magic.model.spec import Mode

_PACKAGE_PARENT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from pyck_magic.runtime import probe; probe.main(sys.argv[2])"
_LIMIT_S = 120
_ROOM = "probe-"
_REMEMBERED = 16


def ask(home: str) -> dict[str, dict[str, Any]]:
    """Run the probes in a process of their own, in a fresh folder of the home; their findings by name.

    Raises StoreError if the home cannot be written, NotPossibleHere if the probe itself cannot run.
    """
    import subprocess
    import sys
    import tempfile

    from pyck_magic.linux import trees
    from pyck_magic.model.errors import StoreError

    try:
        os.makedirs(home, mode=0o700, exist_ok=True)
        _sweep(home)
        room = tempfile.mkdtemp(prefix=_ROOM, dir=home)
    except OSError as error:
        hint = "point PYCK_HOME at a folder you can write to"
        raise StoreError(f"cannot write to {home}: {error.strerror}", hint=hint) from error
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _BOOT, _PACKAGE_PARENT, room], env={}, cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            findings: dict[str, dict[str, Any]] = json.loads(done.stdout)
            return findings
        trouble = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    except subprocess.TimeoutExpired:
        trouble = f"no answer within {_LIMIT_S} seconds"
    finally:
        trees.remove(room)
    raise NotPossibleHere(f"the probe of this machine failed: {trouble}", hint="is the installation of pyck_magic whole?")


def _sweep(home: str) -> None:
    """Remove what a probe left that was killed."""
    import time

    from pyck_magic.linux import trees

    for name in os.listdir(home):
        if name.startswith(_ROOM) and os.stat(f"{home}/{name}").st_mtime < time.time() - 2 * _LIMIT_S:
            trees.remove(f"{home}/{name}")


def fingerprint(home: str) -> str:
    """All that the answer hangs on: another boot, user, kernel, namespace, filter, privilege or switch asks anew."""
    parts = [home, str(os.getuid()), str(os.getgid()), os.uname().release]
    parts += [os.readlink(f"/proc/self/ns/{kind}") for kind in ("user", "mnt")]
    for path in (
        "/proc/sys/kernel/random/boot_id", "/proc/sys/user/max_user_namespaces", "/proc/sys/kernel/unprivileged_userns_clone",
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "/proc/self/attr/current",
    ):  # fmt: skip
        try:
            with open(path, "rb") as file:
                parts.append(file.read().decode("utf-8", "replace").strip("\0\n"))
        except OSError:
            parts.append("")
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        parts += [line.split()[1] for line in file if line.startswith(("CapEff", "CapBnd", "Seccomp"))]
    return " ".join(parts)


def recall(home: str) -> dict[str, Mode]:
    """By fingerprint, what was found before. Whatever else is in the file counts as nothing."""
    try:
        with open(f"{home}/probe.json", encoding="utf-8") as file:
            remembered = json.load(file)
    except (OSError, ValueError):
        return {}
    return remembered if isinstance(remembered, dict) else {}


def remember(home: str, key: str, mode: Mode) -> None:
    """Add to what was found before, up to a few. Best effort: whoever cannot write it down probes again."""
    before = [(old, found) for old, found in recall(home).items() if old != key]
    fresh = f"{home}/probe.json.{os.getpid()}"
    try:
        with open(fresh, "w", encoding="utf-8") as file:
            json.dump(dict([*before[-_REMEMBERED + 1 :], (key, mode)]), file)
        os.replace(fresh, f"{home}/probe.json")
    except OSError:
        return
