"""Facts about this installation, for `info` and `version`.

Runs in: the notebook kernel, or the `pyck` command.
"""

import os
import platform
import sys

from pyck_magic import __version__
from pyck_magic.engine.doctor import mode
from pyck_magic.model.errors import NotPossibleHere
from pyck_magic.model.platform import Platform
from pyck_magic.store import Home


def info(home: Home) -> dict[str, object]:
    """Label and value of everything `info` shows, in order. Counts are numbers, memory is in bytes."""
    containers = home.containers.list()
    running = sum(one.status == "running" for one in containers)
    try:
        how: str = mode(home.path)
    except NotPossibleHere as error:
        how = f"none: {error}"
    return {
        "Containers": len(containers),
        "Running": running,
        "Stopped": len(containers) - running,
        "Images": len(home.images.list()),
        "Server Version": __version__,
        "Storage Driver": "overlay",
        "Mode": how,
        "Kernel Version": platform.release(),
        "Operating System": _operating_system(),
        "OSType/Architecture": str(Platform.here()),
        "CPUs": len(os.sched_getaffinity(0)),
        "Total Memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": platform.node(),
        "Home": str(home.path),
        "Python": sys.version.split()[0],
    }


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
