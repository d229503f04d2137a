"""The line of a `%%container` cell, understood.

Runs in: the notebook kernel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword

from pyck_magic.commands import formats as known_formats
from pyck_magic.commands.expand import split_line
from pyck_magic.commands.grammar import Parsed, nearest, scan
from pyck_magic.commands.options import CELL_VERB
from pyck_magic.commands.run_options import run_options
from pyck_magic.model.errors import BadOption, BadRequest
from pyck_magic.model.options import RunOptions

_NOT_FOR_INPUTS = ("PATH", "HOME", "HOSTNAME", "TERM", "PWD", "IFS", "LD_PRELOAD", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Capture:
    """A stream that becomes a variable."""

    name: str
    format: str


@dataclass(frozen=True, slots=True)
class FileBack:
    """A file that becomes a variable."""

    file: str
    name: str
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRequest:
    """What a cell's first line asks for.

    `options` lacks what only the magic knows: the directory to share and the values of `inputs`, which are (name,
    expression) pairs. An interpreter behind the image is in `options.entrypoint`.
    """

    image: str
    options: RunOptions
    share_directory: bool = True
    out: Capture | None = None
    err: Capture | None = None
    tee: bool = False
    inputs: tuple[tuple[str, str], ...] = ()
    outputs: tuple[FileBack, ...] = ()
    quiet: bool = False
    raise_error: bool = True
    wants_help: bool = False


def parse_cell(
    line: str, variables: Mapping[str, object], formats: Sequence[str] = known_formats.NAMES
) -> CellRequest:  # fmt: skip
    """`[OPTIONS] IMAGE [OPTIONS] [INTERPRETER…]`. With --help among the options, only `wants_help` means anything.

    Raises BadOption, and BadRequest for a missing image, an open quote or an unknown `{name}`.
    """
    parsed = scan(CELL_VERB, split_line(line, variables))
    if parsed.wants_help:
        return CellRequest(image="", options=RunOptions(), wants_help=True)
    if not parsed.operands or not parsed.operands[0]:
        raise BadRequest("no image is named", hint="%%container IMAGE, for example %%container ncbi/blast")
    image, *interpreter = parsed.operands
    if image.startswith("$"):
        raise BadRequest(f"{image} is not replaced by a value", hint=f"write {{{image[1:]}}}: on this line, braces do it")
    options = run_options(parsed, remove=True)
    if interpreter:
        if options.entrypoint is not None:
            raise BadOption(
                f"--entrypoint and the interpreter {interpreter[0]!r} behind the image contradict each other",
                hint="give one of them",
            )
        options = options._replace(entrypoint=tuple(interpreter))
    outputs = tuple(_file_back(text, formats) for text in parsed.all("output"))
    request = CellRequest(
        image=image,
        options=options._replace(outputs=tuple(dict.fromkeys(back.file for back in outputs))),
        share_directory=not parsed.flag("no-cwd"),
        out=_capture(parsed, "out", formats),
        err=_capture(parsed, "err", formats),
        tee=parsed.flag("tee"),
        inputs=tuple(map(_input, parsed.all("input"))),
        outputs=outputs,
        quiet=parsed.flag("quiet"),
        raise_error=not parsed.flag("no-raise-error"),
    )
    _check_together(request)
    return request


def _capture(parsed: Parsed, option: str, formats: Sequence[str]) -> Capture | None:
    if option not in parsed.given:
        return None
    name, colon, format_name = parsed.given[option].partition(":")
    return Capture(_variable(name, f"--{option}"), _format(format_name, f"--{option}", formats) if colon else "text")


def _input(text: str) -> tuple[str, str]:
    name, equals, expression = text.partition("=")
    expression = _as_python(expression, getattr(text, "raw", ""))
    if equals and not expression.strip():
        raise BadOption(f"-i {text}: nothing behind the =", hint="-i NAME for a variable, -i NAME=EXPR for an expression")
    return _variable(name, "-i"), expression.strip() or name


def _as_python(expression: str, raw: str) -> str:
    """The expression with the quotes that are its own: in `-i d=f('x')` they are Python's, in `-i "d=f('x')"` the outer ones
    are the shell's."""
    written = raw.partition("=")[2]
    if raw[:1] in ("'", '"') or written[:1] in ("'", '"') or not {"'", '"'} & set(written):
        return expression
    return written


def _file_back(text: str, formats: Sequence[str]) -> FileBack:
    file, equals, target = text.rpartition("=")
    if not equals or not file:
        raise BadOption(f"-o {text}: a file and a variable are needed", hint="-o FILE=NAME or -o FILE=NAME:FORMAT")
    name, colon, format_name = target.partition(":")
    return FileBack(
        file, _variable(name, "-o"), _format(format_name, "-o", formats) if colon else known_formats.suggested(file)
    )


def _variable(name: str, option: str) -> str:
    if not name.isidentifier() or iskeyword(name):
        raise BadOption(f"{option}: {name!r} cannot be the name of a variable", hint="letters, digits and _, as in Python")
    return name


def _format(name: str, option: str, formats: Sequence[str]) -> str:
    if name not in formats:
        near = nearest(name, formats)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(formats)}"
        raise BadOption(f"{option}: unknown format {name!r}", hint=hint)
    return name


def _check_together(request: CellRequest) -> None:
    """Options that are each right and contradict each other. Raises BadOption."""
    if request.tee and not (request.out or request.err):
        raise BadOption("--tee without --out or --err has nothing to show twice", hint="add --out NAME, or leave it out")
    targets = [capture.name for capture in (request.out, request.err) if capture] + [back.name for back in request.outputs]
    for name in targets:
        if targets.count(name) > 1:
            raise BadOption(f"two things would be put into {name!r}", hint="give each a variable of its own")
    names = [name for name, _ in request.inputs]
    for name in names:
        if names.count(name) > 1:
            raise BadOption(f"-i names {name!r} twice", hint="give each value a name of its own")
        if name in _NOT_FOR_INPUTS:
            raise BadOption(f"${name} means something to programs, and cannot be the file of -i", hint="choose another name")
        if name in dict(request.options.env):
            raise BadOption(f"${name} would be the file of -i and the value of -e", hint="rename one of them")
