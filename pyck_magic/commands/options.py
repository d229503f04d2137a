"""The tables of verbs and options. Parser, help, completion and documentation are all made from them.

Runs in: the notebook kernel, or the `pyck` command. Rows are NamedTuples, which are made six times faster than dataclasses:
a fresh `pyck run` makes them every time.
"""

from collections.abc import Callable
from typing import NamedTuple

from pyck_magic.commands import values

CELL = "cell"
"""The name under which the options of `%%container` stand in the table; nobody types it."""


class Verb(NamedTuple):
    """One verb: what it takes besides options, and one line about it. `most` is None for as many as you like."""

    name: str
    operands: str
    summary: str
    least: int = 0
    most: int | None = 0
    options_end_at_first: bool = False


class Option(NamedTuple):
    """One option of some verbs. Without `metavar` it is a flag; `metavar` is Docker's word for the kind of value."""

    name: str
    verbs: tuple[str, ...]
    help: str
    short: str = ""
    metavar: str = ""
    parse: Callable[[str], object] = values.filled
    choices: tuple[str, ...] = ()
    repeatable: bool = False

    @property
    def flags(self) -> str:
        """As errors name it: `-v, --volume`."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


VERBS = (
    Verb(
        name="run", operands="IMAGE [COMMAND] [ARG...]", summary="Create and run a new container from an image",
        least=1, most=None, options_end_at_first=True,
    ),
    Verb(name="pull", operands="NAME[:TAG|@DIGEST]", summary="Download an image from a registry", least=1, most=1),
    Verb(name="images", operands="[REPOSITORY[:TAG]]", summary="List images", most=1),
    Verb(name="ps", operands="", summary="List containers"),
    Verb(name="rm", operands="CONTAINER [CONTAINER...]", summary="Remove one or more containers", least=1, most=None),
    Verb(name="rmi", operands="IMAGE [IMAGE...]", summary="Remove one or more images", least=1, most=None),
    Verb(
        name="tag", operands="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", least=2, most=2,
        summary="Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    ),
    Verb(
        name="inspect", operands="NAME|ID [NAME|ID...]", summary="Show all that is known of containers and images, as JSON",
        least=1, most=None,
    ),
    Verb(name="history", operands="IMAGE", summary="Show the history of an image", least=1, most=1),
    Verb(name="tags", operands="REPOSITORY", summary="List what a repository offers, newest first", least=1, most=1),
    Verb(name="volume ls", operands="", summary="List volumes"),
    Verb(name="volume create", operands="[VOLUME]", summary="Create a volume", most=1),
    Verb(
        name="volume inspect", operands="VOLUME [VOLUME...]", summary="Show all that is known of volumes, as JSON",
        least=1, most=None,
    ),
    Verb(
        name="volume rm", operands="VOLUME [VOLUME...]", summary="Remove volumes that no container has", least=1, most=None,
    ),
    Verb(name="info", operands="", summary="Show facts about this installation"),
    Verb(name="version", operands="", summary="Show the version"),
    Verb(name="doctor", operands="", summary="Try out whether this machine can run containers, and say what would help"),
    Verb(name="help", operands="[COMMAND]", summary="Show help", most=2),
)  # fmt: skip

GROUPS = ("volume",)
"""Words that begin verbs of two words."""

CELL_VERB = Verb(
    name=CELL, operands="IMAGE [OPTIONS] [INTERPRETER] [ARG...]", summary="Run the cell's body in a container made from an image",
    least=1, most=None,
)  # fmt: skip

_RUN = ("run", CELL)
_NETWORKS = ("host", "none")
_POLICIES = ("missing", "always", "never")
_USERNS = ("auto", "single", "range", "host")

OPTIONS = (
    Option(name="entrypoint", verbs=_RUN, metavar="string", parse=values.entrypoint, help="Overwrite the image's ENTRYPOINT"),
    Option(
        name="env", short="e", verbs=_RUN, metavar="list", parse=values.environment, repeatable=True,
        help="Set environment variables",
    ),
    Option(
        name="env-file", verbs=_RUN, metavar="list", parse=values.environment_file, repeatable=True,
        help="Read in a file of environment variables",
    ),
    Option(
        name="err", verbs=(CELL,), metavar="NAME[:FORMAT]", parse=str,
        help="Put what the cell writes to stderr into a variable",
    ),
    Option(name="hostname", short="h", verbs=_RUN, metavar="string", parse=values.hostname, help="Container host name"),
    Option(
        name="input", short="i", verbs=(CELL,), metavar="NAME[=EXPR]", parse=values.untouched, repeatable=True,
        help="Hand a Python value in as a file, whose path is in $NAME",
    ),
    Option(name="interactive", short="i", verbs=("run",), help="Pass stdin on to the container"),
    Option(name="name", verbs=_RUN, metavar="string", parse=values.container_name, help="Assign a name to the container"),
    Option(
        name="network", verbs=_RUN, metavar="network", choices=_NETWORKS,
        parse=values.one_of(*_NETWORKS, hint="it is host (this machine's network) or none (no network at all)"),
        help='This machine\'s network, or none at all ("host", "none") (default "host")',
    ),
    Option(name="no-cwd", verbs=(CELL,), help="Do not mount the notebook's directory"),
    Option(name="no-raise-error", verbs=(CELL,), help="Go on when the program fails"),
    Option(
        name="out", verbs=(CELL,), metavar="NAME[:FORMAT]", parse=str,
        help="Put what the cell writes to stdout into a variable",
    ),
    Option(
        name="output", short="o", verbs=(CELL,), metavar="FILE=NAME[:FORMAT]", parse=str, repeatable=True,
        help="Bring a file back, into a variable",
    ),
    Option(
        name="platform", verbs=(*_RUN, "pull"), metavar="string", parse=values.platform,
        help="Choose another platform of the image, such as linux/amd64",
    ),
    Option(
        name="pull", verbs=_RUN, metavar="string", choices=_POLICIES, parse=values.one_of(*_POLICIES),
        help='Pull image before running ("missing", "always", "never") (default "missing")',
    ),
    Option(name="quiet", short="q", verbs=("run", "pull"), help="Suppress the pull output"),
    Option(name="quiet", short="q", verbs=(CELL,), help="Suppress the pull output and the receipt"),
    Option(name="rm", verbs=("run",), help="Automatically remove the container when it exits"),
    Option(name="rm", verbs=(CELL,), help="Automatically remove the container when it exits (default; keep it: --rm=false)"),
    Option(name="tee", verbs=(CELL,), help="Show as well what --out and --err take"),
    Option(
        name="timeout", verbs=_RUN, metavar="duration", parse=values.duration,
        help="End the container after this time: seconds, or 10s, 5m, 1h30m (exit code 124)",
    ),
    Option(
        name="user", short="u", verbs=_RUN, metavar="string", help="Username or UID (format: <name|uid>[:<group|gid>])",
    ),
    Option(
        name="userns", verbs=_RUN, metavar="string", choices=_USERNS, parse=values.one_of(*_USERNS),
        help='Which ids the container has: one, a granted range, or root\'s ("auto", "single", "range", "host") (default "auto")',
    ),
    Option(
        name="volume", short="v", verbs=_RUN, metavar="list", parse=values.volume, repeatable=True,
        help="Mount a directory or a volume (format: SOURCE:TARGET[:ro])",
    ),
    Option(name="workdir", short="w", verbs=_RUN, metavar="string", help="Working directory inside the container"),
    Option(name="all", short="a", verbs=("ps",), help="Show all containers (default shows just running)"),
    Option(name="all", short="a", verbs=("images",), help="Show all images (they are all shown anyway)"),
    Option(name="digests", verbs=("images",), help="Show digests"),
    Option(name="force", short="f", verbs=("rm",), help="Force the removal of a running container (uses SIGKILL)"),
    Option(name="force", short="f", verbs=("rmi",), help="Force removal of the image"),
    Option(
        name="format", verbs=("images", "ps"), metavar="string", choices=("table", "json"), parse=values.one_of("table", "json"),
        help='"table", or "json" for one object a line (default "table")',
    ),
    Option(name="no-trunc", verbs=("images", "ps", "history"), help="Don't truncate output"),
    Option(name="quiet", short="q", verbs=("images", "history"), help="Only show image IDs"),
    Option(name="quiet", short="q", verbs=("volume ls",), help="Only display volume names"),
    Option(name="quiet", short="q", verbs=("ps",), help="Only display container IDs"),
)  # fmt: skip

# What people type because Docker has it: the answer to the unknown flag is then what to do instead.
INSTEAD = {
    "publish": "leave it out: with the host's network, a port of the container is a port of this machine already",
    "publish-all": "leave it out: with the host's network, a port of the container is a port of this machine already",
    "tty": "leave it out: -i alone passes stdin on, and the container writes to your terminal itself",
    "detach": "containers run in the foreground: put the shell's & behind `pyck run`",
    "mount": "write it with --volume SOURCE:TARGET[:ro]",
    "net": "it is called --network",
}  # fmt: skip
INSTEAD_VERB = {
    "stop": "`pyck rm -f NAME` ends a container and removes it",
    "kill": "`pyck rm -f NAME` ends a container and removes it",
    "exec": "a container runs one program: start another one on the same volume or directory",
    "logs": "a cell that prints much says where all of it is; `pyck run … > FILE` keeps the output of a command",
    "build": "images are pulled here, not built: build and push them with docker, podman or buildah",
    "login": "credentials are read from Docker's ~/.docker/config.json",
    "push": "images are pulled here, not pushed",
}
INSTEAD_SHORT = {"p": "publish", "P": "publish-all", "t": "tty", "d": "detach"}


def verb_named(name: str) -> Verb | None:
    """The verb of this name."""
    return next((verb for verb in (*VERBS, CELL_VERB) if verb.name == name), None)


def options_of(verb: str) -> tuple[Option, ...]:
    """The options of one verb, by name."""
    return tuple(sorted((option for option in OPTIONS if verb in option.verbs), key=lambda option: option.name))
