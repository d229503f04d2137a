"""From what was asked to what will be made: options and an image become a LaunchSpec. Decides, does not do.

Runs in: the notebook kernel. Reads only what names the host to the container (/etc/hosts and its like).
"""

import os
import re
import shlex
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pyck_magic.engine.identity import Identity
from pyck_magic.model.config import ImageConfig
from pyck_magic.model.errors import BadOption, BadRequest
from pyck_magic.model.options import RunOptions, Volume
from pyck_magic.model.spec import Bind, LaunchSpec, Mode, Mould
from pyck_magic.runtime.finishing import CELL, INPUTS
from pyck_magic.runtime.seccomp_profile import DEFAULT_CAPABILITIES

if TYPE_CHECKING:
    from pathlib import Path

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Mounting one of these over the container's own would take its programs away.
_NEVER_SHARED = frozenset(
    ["/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/var"]
)
_APT = "apt/apt.conf.d/99pyck"
_LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
_CAPABILITIES = tuple(sorted(DEFAULT_CAPABILITIES))
_SHELL_CHARACTERS = re.compile(r"[|&;<>()$`*?\[\]{}~!\n]")


class Place(NamedTuple):
    """Where containers of an image live on this machine: folders of the home, and the image's layers with their stamps.

    `mount_changes` is another number after anything was mounted here, which may be what a volume is to show.
    """

    mode: Mode
    sandboxes: str
    staging: str
    volumes: str
    layers: tuple[str, ...]
    stamps: tuple[int, ...]
    mount_changes: int
    ranges: tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int, int], ...]] | None = None

    @property
    def has_one_id(self) -> bool:
        """Is there but one user in the container, who is us?"""
        return self.mode == "userns" and self.ranges is None


def mould(place: Place, options: RunOptions, identity: Identity) -> Mould:
    """What a sandbox must know before it is prepared. One id inside, ours outside, unless a range was asked for."""
    maps: dict[str, tuple[tuple[int, int, int], ...]] = {}
    if place.ranges is not None:
        maps = dict(zip(("uid_map", "gid_map"), place.ranges, strict=True))
    elif place.mode == "userns":
        maps = {"uid_map": ((identity.uid, os.getuid(), 1),), "gid_map": ((identity.gid, os.getgid(), 1),)}
    shares = bool(options.volumes or options.inputs or options.share_directory)
    foreign = place.mode == "root" and identity.uid != os.getuid()
    return Mould(
        mode=place.mode, network=options.network, sandboxes=place.sandboxes, staging=place.staging, layers=place.layers,
        stamps=(*place.stamps, place.mount_changes if shares else 0), remove=options.remove,
        mapped_by_helper=place.ranges is not None,
        owner=(identity.uid, identity.gid) if shares and foreign else None, etc=_etc_names(place),
        capabilities=_CAPABILITIES, **maps,
    )  # fmt: skip


def plan(
    place: Place, sandbox: Mould, container_id: str, state: str, config: ImageConfig, program: str | Sequence[str] | None,
    options: RunOptions, identity: Identity,
) -> LaunchSpec:  # fmt: skip
    """What the sandbox of that id still has to be told. Raises BadRequest and BadOption for what cannot be meant."""
    hostname = options.hostname or (socket.gethostname() if options.network == "host" else container_id[:12])
    script = program if isinstance(program, str) else None
    return LaunchSpec(
        id=container_id,
        mould=sandbox,
        state=state,
        hostname=hostname,
        argv_choices=_argv_choices(program, config, options),
        env=_environment(config, options, identity, hostname),
        workdir=_workdir(config, options),
        uid=identity.uid,
        gid=identity.gid,
        groups=() if place.has_one_id else identity.groups,
        binds=_binds(place, state, options, own=sandbox.owner is not None),
        etc=tuple((name, _etc_content(name, hostname)) for name in sandbox.etc),
        script=script,
        outputs=options.outputs,
        emulate_root=place.has_one_id and identity.uid == 0,
        timeout_s=options.timeout_s,
    )


def _argv_choices(program: str | Sequence[str] | None, config: ImageConfig, options: RunOptions) -> tuple[tuple[str, ...], ...]:
    """Docker's ENTRYPOINT and CMD for an argv; for a script its `#!`, `--entrypoint`, or the image's `sh -e`."""
    if isinstance(program, str):
        if not program.strip():
            raise BadRequest("the script is empty", hint="write the commands to run, or None for the image's own")
        if options.entrypoint:
            return ((*options.entrypoint, CELL),)
        if program.startswith("#!"):
            return ((CELL,),)
        plain = _plain_command(program)
        shells = (("sh", "-e", CELL), ("/bin/sh", "-e", CELL))
        return (*shells, plain) if plain else shells
    if program is not None and not (isinstance(program, Sequence) and all(isinstance(word, str) for word in program)):
        raise BadRequest(f"{program!r:.80} is no program", hint="a script is a str, a command a list of str")
    entrypoint = config.entrypoint if options.entrypoint is None else options.entrypoint
    given = tuple(program or ())
    command = given or (config.cmd if options.entrypoint is None else ())
    argv = (*entrypoint, *command)
    if not argv or not argv[0]:
        raise BadRequest("no command specified", hint="the image names none either: add one after the image")
    return (argv,)


def _plain_command(script: str) -> tuple[str, ...]:
    """The argv of a body that needs no shell to be understood: one command, no variables, pipes or patterns."""
    lines = [line for line in script.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if len(lines) != 1 or _SHELL_CHARACTERS.search(lines[0]):
        return ()
    try:
        return tuple(shlex.split(lines[0]))
    except ValueError:
        return ()


def _environment(config: ImageConfig, options: RunOptions, identity: Identity, hostname: str) -> tuple[str, ...]:
    """Docker's defaults, then the image's, then what was asked for. Nothing of the notebook's own environment."""
    env = {"PATH": _DEFAULT_PATH, "HOSTNAME": hostname, "HOME": identity.home}
    env.update((name, value) for name, equals, value in (entry.partition("=") for entry in config.env) if equals)
    env.update(options.env)
    env.update((name, _input_target(name, value)) for name, value in options.inputs)
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value:
            raise BadOption(f"invalid environment variable: {name!r}")
    return tuple(f"{name}={value}" for name, value in env.items())


def _workdir(config: ImageConfig, options: RunOptions) -> str:
    shared = str(options.share_directory) if options.share_directory else ""
    workdir = options.workdir or shared or config.working_dir or "/"
    if not workdir.startswith("/"):
        raise BadOption(f"the working directory {workdir!r} is invalid, it needs to be an absolute path")
    return workdir


def _binds(place: Place, state: str, options: RunOptions, *, own: bool) -> tuple[Bind, ...]:
    binds = [bind for volume in options.volumes if (bind := _volume(place, volume))]
    for name, value in options.inputs:
        source = input_file(state, name) if isinstance(value, bytes) else str(value.resolve())
        binds.append(Bind(source=source, target=_input_target(name, value), read_only=True, own=own))
    if options.share_directory is not None:
        directory = str(options.share_directory)
        if directory in _NEVER_SHARED:
            raise BadRequest(
                f"the notebook's directory {directory} cannot be mounted at the same path: it would hide the image's own",
                hint="move the notebook into a folder of its own, or use --no-cwd",
            )
        binds.append(Bind(source=directory, target=directory, own=own))
    targets = [bind.target for bind in binds]
    for target in targets:
        if targets.count(target) > 1:
            raise BadOption(f"duplicate mount point: {target}")
    return tuple(binds)


def input_file(state: str, name: str) -> str:
    """Where a value handed in waits on the host."""
    return f"{state}/in/{name}"


def _input_target(name: str, value: "bytes | Path") -> str:
    """Where it is in the container; a file keeps its suffixes, by which programs know formats."""
    return f"{INPUTS}/{name}{'' if isinstance(value, bytes) else ''.join(value.suffixes)}"


def _volume(place: Place, volume: Volume) -> Bind | None:
    if not volume.target.startswith("/"):
        raise BadOption(f"invalid volume target {volume.target!r}: mount path must be absolute")
    target = os.path.normpath(volume.target)
    if target == "/":
        raise BadOption("invalid volume specification: destination can't be '/'")
    if volume.source is None:
        return None  # an anonymous volume lives and dies with a container: its own layer serves as well
    if "/" not in volume.source:
        source = f"{place.volumes}/{volume.source}"
        os.makedirs(source, exist_ok=True)
        return Bind(source=source, target=target, read_only=volume.read_only)
    if not os.path.exists(volume.source):
        raise BadRequest(f"bind source path does not exist: {volume.source}", hint="create it first, or mind the spelling")
    if not os.access(volume.source, os.R_OK):
        raise BadRequest(f"bind source path cannot be read: {volume.source}", hint="its permissions keep you out")
    return Bind(source=os.path.realpath(volume.source), target=target, read_only=volume.read_only)


def _etc_names(place: Place) -> tuple[str, ...]:
    """The files by which a container knows its name, its neighbours and its name servers."""
    if place.has_one_id and any(os.path.isdir(f"{layer}/etc/apt/apt.conf.d") for layer in place.layers):
        return "hostname", "hosts", "resolv.conf", _APT
    return "hostname", "hosts", "resolv.conf"


def _etc_content(name: str, hostname: str) -> str:
    match name:
        case "hostname":
            return f"{hostname}\n"
        case "hosts":
            return f"{_host_file('hosts') or _LOCALHOST}127.0.1.1\t{hostname}\n"
        case "resolv.conf":
            return _host_file("resolv.conf")
        case _:
            # apt checks that it could become `_apt`, which one id cannot; as itself it works.
            return 'APT::Sandbox::User "root";\n'


def _host_file(name: str) -> str:
    try:
        with open(f"/etc/{name}", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
