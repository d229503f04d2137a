"""The one door to everything below: pull, run, images, containers, doctor.

Runs in:    the notebook kernel, or the `pyck` command.
May import: registry, store, network, runtime, linux, model.
Never:      prints, or knows of IPython.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyck_magic.engine.containers import Containers
from pyck_magic.engine.running import Running
from pyck_magic.engine.runs import Program, Runs, see_through
from pyck_magic.model.errors import NotFound
from pyck_magic.model.options import RunOptions, Volume
from pyck_magic.model.records import Image
from pyck_magic.model.result import Result
from pyck_magic.runtime.client import OwnLauncher, WarmLauncher
from pyck_magic.store import Home, default_path

if TYPE_CHECKING:
    from pathlib import Path

    from pyck_magic.engine.doctor import Check
    from pyck_magic.engine.images import Images
    from pyck_magic.engine.pull import PullReport
    from pyck_magic.engine.volumes import Volumes
    from pyck_magic.model.events import PullEvent

__all__ = ["Engine", "Result", "RunOptions", "Running", "Volume"]

Watcher = Callable[["PullEvent"], None]
_DEFAULT_OPTIONS = RunOptions()


class Engine:
    """Containers in one home. Safe to share between threads; several engines may share a home.

    `warm` keeps a launcher process ready, which suits anything that lives for more than one run. Without it the
    calling process forks, and must be single-threaded: that is for the `pyck` command.
    """

    def __init__(self, home: "Path | str | None" = None, *, warm: bool = True) -> None:
        self._store = Home(home if home is not None else default_path())
        self._launcher = WarmLauncher() if warm else OwnLauncher()
        self._runs = Runs(self._store, self._launcher)
        self.containers = Containers(self._store)
        self.containers.sweep()

    @property
    def home(self) -> "Path":
        """The folder where everything lives."""
        from pathlib import Path

        return Path(self._store.path)

    @property
    def images(self) -> "Images":
        """What is here, and the rules of removing it."""
        from pyck_magic.engine.images import Images

        return Images(self._store)

    @property
    def volumes(self) -> "Volumes":
        """The named volumes of this home."""
        from pyck_magic.engine.volumes import Volumes

        return Volumes(self._store)

    def pull(self, reference: str, *, platform: str | None = None, watch: Watcher | None = None) -> "PullReport":
        """Bring an image from its registry, or find that what is here is up to date.

        `watch` is called from worker threads. Raises RegistryError, BrokenContent, StoreError, BadReference.
        """
        from pyck_magic.engine.pull import pull

        return pull(self._store, reference, platform=platform, watch=watch)

    def run(
        self, image: str, program: Program = None, options: RunOptions = _DEFAULT_OPTIONS, *,
        stdin: bytes | str | None = None, check: bool = True, watch: Watcher | None = None,
    ) -> Result:  # fmt: skip
        """Run a program to its end and return what it wrote.

        `program` is a script (str), an argv (as `docker run IMAGE ARG…`), or None for the image's own command.
        Raises ContainerFailed on a non-zero exit unless `check` is False, and all that `start` raises.
        """
        stdin_fd = None
        if stdin is not None:
            stdin_fd = os.memfd_create("pyck stdin", os.MFD_CLOEXEC)
            view = memoryview(stdin.encode() if isinstance(stdin, str) else stdin)
            while view:
                view = view[os.write(stdin_fd, view) :]
            os.lseek(stdin_fd, 0, os.SEEK_SET)
        try:
            running = self.start(image, program, options, stdin_fd=stdin_fd, watch=watch)
        finally:
            if stdin_fd is not None:
                os.close(stdin_fd)
        return see_through(running, check=check)

    def start(
        self, image: str, program: Program = None, options: RunOptions = _DEFAULT_OPTIONS, *,
        stdin_fd: int | None = None, stdout_fd: int | None = None, stderr_fd: int | None = None, watch: Watcher | None = None,
    ) -> Running:  # fmt: skip
        """Start a container and return once its program runs; the caller reads its pipes.

        Raises LaunchError when the program could not be started, NotPossibleHere where no container can be made,
        NotFound (with `pull="never"`) and what `pull` raises for the image.
        """
        from pyck_magic.engine.doctor import mode

        how = mode(self._store.path)
        here = self._image(image, options, watch)
        if options.userns == "range":
            from pyck_magic.engine.pull import ensure_range_layers

            ensure_range_layers(self._store, here)
        return self._runs.start(here, program, options, how, stdin_fd=stdin_fd, stdout_fd=stdout_fd, stderr_fd=stderr_fd)

    def _image(self, name: str, options: RunOptions, watch: Watcher | None) -> Image:
        """The image to run: what is here, or what `options.pull` lets us fetch."""
        if options.pull != "always":
            try:
                return self._store.images.get(name, platform=options.platform)
            except NotFound:
                if options.pull == "never":
                    raise
        return self.pull(name, platform=options.platform, watch=watch).image

    def doctor(self) -> "tuple[Check, ...]":
        """What this machine can and cannot do for containers, with consequence and fix."""
        from pyck_magic.engine.doctor import doctor

        return doctor(self._store.path)

    def info(self) -> dict[str, object]:
        """Facts about this installation, for `info`."""
        from pyck_magic.engine.about import info

        return info(self._store)

    def log_path(self, container_id: str) -> "Path":
        """Where the whole output of a container goes when a display shows only part of it."""
        return self.home / "logs" / f"{container_id}.log"

    def warm_up(self) -> None:
        """Start the launcher ahead of the first run."""
        if isinstance(self._launcher, WarmLauncher):
            self._launcher.warm_up()

    def close(self) -> None:
        """Hang up on the launcher and close the home. Containers that still run are ended by their monitors."""
        self._launcher.close()
        self._store.close()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
