"""The verbs: each is one call of the engine, and its answer.

Runs in: the notebook kernel, or the `pyck` command.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from pyck_magic.commands.answers import Answer, Document, Face, Lines, Pulled, RunRequest, Table
from pyck_magic.commands.grammar import Parsed, nearest, parse
from pyck_magic.commands.options import VERBS
from pyck_magic.model.errors import BadReference, BadRequest, NotFound, PyckError

if TYPE_CHECKING:
    from pyck_magic.engine import Engine
    from pyck_magic.model.records import Container, Image

Thing = TypeVar("Thing")


def perform(engine: "Engine", argv: Sequence[str], face: Face) -> Answer:
    """Parse a command line and do what it says. Raises whatever of model.errors fits."""
    return answer(parse(argv), lambda: engine, face)


def answer(parsed: Parsed, open_engine: "Callable[[], Engine]", face: Face) -> Answer:
    """Do what was parsed. The engine is opened only by verbs that need one."""
    if parsed.wants_help:
        return _help(parsed.verb, face)
    if parsed.verb == "help":
        return _help(" ".join(parsed.operands) or None, face)
    if parsed.verb == "version":
        return _version()
    return _CALLS[parsed.verb](open_engine(), parsed, face)


def _help(verb: str | None, face: Face) -> Lines:
    from pyck_magic.commands.help import help_text

    names = [known.name for known in VERBS]
    if verb is not None and verb not in names:
        near = nearest(verb, names)
        raise BadRequest(f"unknown command: {verb}", hint=f"did you mean {near}?" if near else "`pyck help` lists the commands")
    return Lines(tuple(help_text(verb, face.program).splitlines()))


def _version() -> Table:
    import platform

    from pyck_magic import __version__
    from pyck_magic.model.platform import Platform

    facts = {
        "Version": __version__,
        "Python": platform.python_version(),
        "OS/Arch": str(Platform.here()),
        "Kernel": platform.release(),
    }
    return Table(kind="version", columns=("name", "value"), rows=tuple(facts.items()), key="name")


def _info(engine: "Engine", parsed: Parsed, face: Face) -> Table:
    return Table(kind="info", columns=("name", "value"), rows=tuple(engine.info().items()), key="name")


def _doctor(engine: "Engine", parsed: Parsed, face: Face) -> Table:
    columns = ("subject", "ok", "found", "consequence", "fix")
    rows = tuple((check.subject, check.ok, check.found, check.consequence, check.fix) for check in engine.doctor())
    return Table(kind="doctor", columns=columns, rows=rows, key="subject")


def _pull(engine: "Engine", parsed: Parsed, face: Face) -> Pulled:
    from pyck_magic.model.reference import Reference

    reference = Reference.parse(parsed.operands[0])
    quiet = parsed.flag("quiet")
    with face.watch(reference.familiar, quiet=quiet) as watch:
        report = engine.pull(parsed.operands[0], platform=parsed.given.get("platform"), watch=watch)
    return Pulled(report, str(reference), quiet)


def _run(engine: "Engine", parsed: Parsed, face: Face) -> Answer:
    from pyck_magic.commands.run_options import run_options

    image, *command = parsed.operands
    request = RunRequest(
        image=image,
        command=tuple(command),
        options=run_options(parsed, remove=False),
        interactive=parsed.flag("interactive"),
        quiet=parsed.flag("quiet"),
    )
    return face.run(engine, request)


def _images(engine: "Engine", parsed: Parsed, face: Face) -> Answer:
    from pyck_magic.commands.tables import image_json, images_table

    full = parsed.flag("no-trunc")
    table = images_table(
        engine.images.list(),
        wanted=parsed.operands[0] if parsed.operands else "",
        digests=parsed.flag("digests") or parsed.given.get("format") == "json",
        full=full,
    )
    if parsed.flag("quiet"):
        return Lines(tuple(str(row["image_id"]) for row in table.dicts()))
    return Lines(tuple(map(image_json, table.dicts()))) if parsed.given.get("format") == "json" else table


def _ps(engine: "Engine", parsed: Parsed, face: Face) -> Answer:
    from pyck_magic.commands.tables import container_json, containers_table

    table = containers_table(engine.containers.list(all=parsed.flag("all")), full=parsed.flag("no-trunc"))
    if parsed.flag("quiet"):
        return Lines(tuple(str(row["container_id"]) for row in table.dicts()))
    if parsed.given.get("format") == "json":
        return Lines(tuple(container_json(row, full=table.full) for row in table.dicts()))
    return table


def _history(engine: "Engine", parsed: Parsed, face: Face) -> Answer:
    from pyck_magic.commands.tables import history_table

    table = history_table(engine.images.get(parsed.operands[0]), full=parsed.flag("no-trunc"))
    return Lines(tuple(str(row["image"]) for row in table.dicts())) if parsed.flag("quiet") else table


def _tags(engine: "Engine", parsed: Parsed, face: Face) -> Table:
    rows = tuple(
        (tag.tag, tag.created, tag.size_bytes, ", ".join(tag.platforms), str(tag.digest) if tag.digest else "")
        for tag in engine.images.tags(parsed.operands[0])
    )
    return Table(kind="tags", columns=("tag", "created", "size", "platforms", "digest"), rows=rows, key="tag")


def _tag(engine: "Engine", parsed: Parsed, face: Face) -> Lines:
    engine.images.tag(*parsed.operands)
    return Lines(())


def _volume_ls(engine: "Engine", parsed: Parsed, face: Face) -> Answer:
    volumes = engine.volumes.list()
    if parsed.flag("quiet"):
        return Lines(tuple(volume.name for volume in volumes))
    rows = tuple(("local", volume.name, volume.created, volume.path) for volume in volumes)
    return Table(kind="volumes", columns=("driver", "volume_name", "created", "mountpoint"), rows=rows, key="volume_name")


def _volume_create(engine: "Engine", parsed: Parsed, face: Face) -> Lines:
    return Lines((engine.volumes.create(*parsed.operands).name,))


def _volume_inspect(engine: "Engine", parsed: Parsed, face: Face) -> Document:
    from pyck_magic.commands.inspecting import describe_volume

    return Document([describe_volume(engine.volumes.get(name)) for name in parsed.operands])


def _volume_rm(engine: "Engine", parsed: Parsed, face: Face) -> Lines:
    return _each(parsed.operands, lambda name: (engine.volumes.remove(name).name,))


def _rm(engine: "Engine", parsed: Parsed, face: Face) -> Lines:
    def remove(name: str) -> tuple[str, ...]:
        engine.containers.remove(name, force=parsed.flag("force"))
        return (name,)

    return _each(parsed.operands, remove)


def _rmi(engine: "Engine", parsed: Parsed, face: Face) -> Lines:
    return _each(parsed.operands, lambda name: engine.images.remove(name, force=parsed.flag("force")))


def _each(names: Sequence[str], remove: Callable[[str], tuple[str, ...]]) -> Lines:
    """One after the other; a failure is kept, and the others still have their turn."""
    lines: list[str] = []
    failures: list[PyckError] = []
    for name in names:
        try:
            lines += remove(name)
        except PyckError as error:
            failures.append(error)
    return Lines(tuple(lines), tuple(failures))


def _inspect(engine: "Engine", parsed: Parsed, face: Face) -> Document:
    from pyck_magic.commands.inspecting import describe_container, describe_image

    found: list[dict[str, object]] = []
    failures: list[PyckError] = []
    for name in parsed.operands:
        container: Container | None = _or_none(engine.containers.get, name)
        if container is not None:
            found.append(describe_container(container))
            continue
        image: Image | None = _or_none(engine.images.get, name)
        if image is None:
            failures.append(NotFound(f"no such object: {name}", hint="`pyck images` and `pyck ps -a` list what there is"))
            continue
        found.append(describe_image(image))
    return Document(found, tuple(failures))


def _or_none(get: Callable[[str], Thing], name: str) -> Thing | None:
    try:
        return get(name)
    except (NotFound, BadReference):
        return None


_CALLS: "dict[str, Callable[[Engine, Parsed, Face], Answer]]" = {
    "run": _run, "pull": _pull, "images": _images, "ps": _ps, "rm": _rm, "rmi": _rmi, "inspect": _inspect,
    "history": _history, "tag": _tag, "tags": _tags, "info": _info, "doctor": _doctor, "volume ls": _volume_ls,
    "volume create": _volume_create, "volume inspect": _volume_inspect, "volume rm": _volume_rm,
}  # fmt: skip
