"""What somebody asks for when they ask for a run.

Runs in: the notebook kernel. The commands parse into these, the engine plans from them.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

Network = Literal["host", "none"]
PullPolicy = Literal["missing", "always", "never"]
UserNamespace = Literal["auto", "single", "range", "host"]


class Volume(NamedTuple):
    """One `-v SOURCE:TARGET[:ro]`. `source` is a host path (relative ones are resolved by the parser)
    or the name of a volume; None is an anonymous volume."""

    source: str | None
    target: str
    read_only: bool = False


class RunOptions(NamedTuple):
    """Everything that can be said about a run except the image and the program.

    `inputs` are (variable name, bytes or host path): each becomes a read-only file in the container, its path in `$NAME`.
    `outputs` are paths in the container (relative to its working directory) that are brought back as bytes.
    `share_directory` is mounted at the same path and is the working directory unless `workdir` says otherwise.
    """

    name: str | None = None
    remove: bool = True
    volumes: tuple[Volume, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    workdir: str | None = None
    user: str | None = None
    entrypoint: tuple[str, ...] | None = None
    hostname: str | None = None
    network: Network = "host"
    pull: PullPolicy = "missing"
    platform: str | None = None
    timeout_s: float | None = None
    userns: UserNamespace = "auto"
    share_directory: "Path | None" = None
    inputs: "tuple[tuple[str, bytes | Path], ...]" = ()
    outputs: tuple[str, ...] = ()
