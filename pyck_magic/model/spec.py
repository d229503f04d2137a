"""What the launcher is asked to make: everything decided, nothing left to look up.

Runs in: the notebook kernel writes it, the monitor and the newborn read it. It travels as JSON in a memfd.
Paths named `source` are the host's, paths named `target` the container's.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

Mode = Literal["root", "userns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mould:
    """What must be known before a sandbox can be prepared ahead of its request.

    `uid_map` and `gid_map` are (inside, outside, count); empty without a user namespace. `mapped_by_helper` asks
    newuidmap and newgidmap to write them (more than one id needs their privilege). `capabilities` are all the container
    will ever have.
    """

    mode: Mode
    network: Literal["host", "none"]
    staging: str
    uid_map: tuple[tuple[int, int, int], ...] = ()
    gid_map: tuple[tuple[int, int, int], ...] = ()
    mapped_by_helper: bool = False
    capabilities: tuple[str, ...] = ()

    def fields(self) -> dict[str, Any]:
        """The mould as it travels in a message."""
        return _fields(self)

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Mould":
        """The inverse of `fields`, also after a journey as JSON."""
        return cls(**{name: _tuples(value) for name, value in fields.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """One host path in the container. `owner` presents the host user's files as (uid, gid): an idmapped mount."""

    source: str
    target: str
    read_only: bool = False
    owner: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """One container, ready to be made.

    `layers` are directories, base first. `state` is the container's folder: it holds `upper` and `work`, and is
    removed after the run if `remove` says so. `script` becomes /dev/pyck/cell; `argv_choices` are tried in order
    until one is found. `outputs` are copied, after the program has ended, into `<state>/out/<number>`.
    """

    id: str
    mould: Mould
    layers: tuple[str, ...]
    state: str
    remove: bool
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

    @property
    def owner(self) -> tuple[int, int] | None:
        """As whose the host user's files are shown, if any are shown as another's."""
        return next((bind.owner for bind in self.binds if bind.owner), None)

    def to_json(self) -> bytes:
        """The spec as it travels. Characters that came in as undecodable bytes survive (surrogateescape)."""
        return json.dumps(self, default=_fields).encode("ascii")

    @classmethod
    def from_json(cls, data: bytes) -> "LaunchSpec":
        """The inverse of `to_json`."""
        fields = json.loads(data)
        mould = Mould.from_fields(fields.pop("mould"))
        binds = tuple(Bind(**{key: _tuples(value) for key, value in bind.items()}) for bind in fields.pop("binds"))
        return cls(mould=mould, binds=binds, **{key: _tuples(value) for key, value in fields.items()})


def _fields(part: Mould | Bind | LaunchSpec) -> dict[str, Any]:
    # dataclasses.asdict copies deeply, which takes ten times as long.
    return {name: getattr(part, name) for name in part.__slots__}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
