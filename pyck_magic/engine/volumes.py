"""The named volumes of a home: directories that outlive every container.

Runs in: the notebook kernel, or the `pyck` command; any thread.
"""

import json
import os
from datetime import UTC, datetime

from pyck_magic.linux import trees
from pyck_magic.model import names
from pyck_magic.model.errors import BadRequest, Conflict, NotFound, StoreError
from pyck_magic.model.records import NamedVolume
from pyck_magic.store import Home


class Volumes:
    """List, find, make, remove. `-v NAME:/path` makes one that is missing."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._folder = f"{home.path}/volumes"

    def list(self) -> tuple[NamedVolume, ...]:
        """By name."""
        return tuple(self.get(name) for name in sorted(os.listdir(self._folder)))

    def get(self, name: str) -> NamedVolume:
        """Raises NotFound."""
        path = f"{self._folder}/{name}"
        if not names.is_name(name) or not os.path.isdir(path):
            raise NotFound(f"no such volume: {name}", hint="`pyck volume ls` lists those there are")
        return NamedVolume(name=name, path=path, created=datetime.fromtimestamp(os.stat(path).st_ctime, UTC))

    def create(self, name: str | None = None) -> NamedVolume:
        """Make a volume, under an invented name if none is given; one that is there is as good. Raises BadRequest, StoreError."""
        chosen = os.urandom(32).hex() if name is None else name
        if not names.is_name(chosen):
            hint = "it is two or more of a-z A-Z 0-9 _ . - and begins with a letter or digit"
            raise BadRequest(f"{chosen!r:.80} is no name for a volume", hint=hint)
        try:
            os.makedirs(f"{self._folder}/{chosen}", exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make volume {chosen}: {error.strerror}", hint="look at the home and its disk") from error
        return self.get(chosen)

    def remove(self, name: str) -> NamedVolume:
        """Remove a volume and all that is in it. Raises NotFound, Conflict when a container has it, running or not."""
        volume = self.get(name)
        users = self._users(volume)
        if users:
            hint = f"remove what has it first: `pyck rm {' '.join(user[:12] for user in users)}`"
            raise Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]", hint=hint)
        try:
            trees.remove(volume.path)
        except OSError as error:
            hint = "files of other ids in it go only inside a container that has them (--userns range)"
            raise StoreError(f"cannot remove volume {name}: {error.strerror}", hint=hint) from error
        return volume

    def _users(self, volume: NamedVolume) -> tuple[str, ...]:
        """The ids of containers that were made with it."""
        return tuple(
            container.id
            for container in self._home.containers.list()
            if any(bind["source"] == volume.path for bind in json.loads(container.spec).get("binds", ()))
        )
