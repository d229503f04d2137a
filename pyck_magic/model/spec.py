"""What is to be made: everything decided, nothing left to look up.

Runs in: the notebook kernel writes it, the monitor and the newborn read it. It travels as JSON in a memfd.
Paths named `source` are the host's, paths named `target` the container's.
"""

import json
from typing import Any, Literal, NamedTuple

Mode = Literal["root", "userns"]


class Mould(NamedTuple):
    """All that must be known to prepare a sandbox ahead of its request. Equal moulds make sandboxes that are as good.

    `sandboxes` is the folder in which each sandbox has its own, with `upper` and `work` for what the container will write.
    With `remove` it is removed in the end, wherever it is then. `staging` is an empty folder to mount on. `layers` are
    directories, base first, and `stamps` what tells them, and what is mounted here, from others that were there before.
    `uid_map` and `gid_map` are (inside, outside, count); empty without a user namespace. `mapped_by_helper` asks
    newuidmap and newgidmap to write them (more than one id needs their privilege). `owner` is as whose the notebook
    user's files are shown, if as another's. `etc` names files below /etc that the container will be told.
    `capabilities` are all it will ever have.
    """

    mode: Mode
    network: Literal["host", "none"]
    sandboxes: str
    staging: str
    layers: tuple[str, ...]
    stamps: tuple[int, ...] = ()
    remove: bool = True
    uid_map: tuple[tuple[int, int, int], ...] = ()
    gid_map: tuple[tuple[int, int, int], ...] = ()
    mapped_by_helper: bool = False
    owner: tuple[int, int] | None = None
    etc: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The mould as it travels."""
        return json.dumps(self._asdict()).encode("ascii")

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Mould":
        """The inverse of `_asdict`, also after a journey as JSON."""
        return cls(**{name: _tuples(value) for name, value in fields.items()})


class Bind(NamedTuple):
    """One host path in the container. `own` shows it as the mould's `owner`'s: an idmapped mount."""

    source: str
    target: str
    read_only: bool = False
    own: bool = False


class LaunchSpec(NamedTuple):
    """What is only known once a container is asked for; its sandbox waits for it.

    `id` is the sandbox's; `state` is where its folder is now. `script` becomes /dev/pyck/cell; `argv_choices` are tried in order
    until one is found. `etc` has the content for each of the mould's files. `outputs` are copied, after the program has
    ended, into `<state>/out/<number>`.
    """

    id: str
    mould: Mould
    state: str
    hostname: str
    argv_choices: tuple[tuple[str, ...], ...]
    env: tuple[str, ...]
    workdir: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    binds: tuple[Bind, ...] = ()
    etc: tuple[tuple[str, str], ...] = ()
    script: str | None = None
    outputs: tuple[str, ...] = ()
    emulate_root: bool = False
    timeout_s: float | None = None

    def to_json(self) -> bytes:
        """The spec as it travels. Characters that came in as undecodable bytes survive (surrogateescape)."""
        fields = {**self._asdict(), "mould": self.mould._asdict(), "binds": [bind._asdict() for bind in self.binds]}
        return json.dumps(fields).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> "LaunchSpec":
        """The inverse of `to_json`."""
        fields = json.loads(data)
        mould = Mould.from_fields(fields.pop("mould"))
        binds = tuple(Bind(**{key: _tuples(value) for key, value in bind.items()}) for bind in fields.pop("binds"))
        return cls(mould=mould, binds=binds, **{key: _tuples(value) for key, value in fields.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
