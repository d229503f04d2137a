"""A `%%container` cell: values in → container → output → values out → receipt.

Runs in: the notebook kernel, main thread.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyck_magic.magic import values
from pyck_magic.magic.follow import follow
from pyck_magic.magic.pump import ERR, OUT, Pump
from pyck_magic.magic.screen import show, watching
from pyck_magic.model.errors import BadRequest, ContainerFailed, NotFound

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pyck_magic.commands import CellRequest, FileBack
    from pyck_magic.engine import Engine
    from pyck_magic.model.options import RunOptions
    from pyck_magic.model.result import Result

_SCRIPT_PREFIX = re.compile(r"^/dev/pyck/cell: (?:line )?(\d+): ")
_MESSAGE_LENGTH = 300


def run_cell(shell: "InteractiveShell", engine: "Engine", request: "CellRequest", body: str) -> None:
    """Do what a cell asks for. Raises ContainerFailed after everything else, unless it is not wanted."""
    options = request.options._replace(
        inputs=tuple((name, values.to_file(_evaluate(shell, name, expression), name)) for name, expression in request.inputs),
        share_directory=Path.cwd() if request.share_directory else None,
    )
    captures = {stream: capture for stream, capture in ((OUT, request.out), (ERR, request.err)) if capture}
    seen = run(
        shell, engine, request.image, body, options, quiet=request.quiet, tee=request.tee,
        captured={stream: capture.name for stream, capture in captures.items()},
    )  # fmt: skip
    result = seen.result
    problems: list[BadRequest] = []
    for stream, capture in captures.items():
        data = seen.captured[stream]
        option = "--out" if stream == OUT else "--err"
        file = Path.cwd() / f"{capture.name}.{option.removeprefix('--')}"
        brought = _Brought(capture.name, capture.format, data, f"{option} {capture.name}:{capture.format}", file)
        _bring(shell, brought, body, problems)
    for back in request.outputs:
        if back.file in result.files:
            _bring(shell, _file_brought(back, result.files[back.file], request), body, problems)
        else:
            hint = f"so {back.name} is not set; check the path, which must be that of a plain file"
            problems.append(NotFound(f"the cell left no file {back.file}", hint=hint))
    shell.user_ns["_exit_code"] = result.exit_code
    if not request.quiet:
        receipt(result)
    if result.exit_code and request.raise_error:
        raise ContainerFailed(failure(result, seen.last_words), result=result)
    # A program that failed has printed why, rather than a table.
    if problems and not result.exit_code:
        raise problems[0]


@dataclass(frozen=True, slots=True)
class Seen:
    """A run that has ended, and what was kept of its output."""

    result: "Result"
    captured: dict[str, bytes]
    last_words: str


def run(
    shell: "InteractiveShell", engine: "Engine", image: str, program: str | tuple[str, ...] | None, options: "RunOptions", *,
    quiet: bool = False, tee: bool = False, captured: dict[str, str] | None = None,
) -> Seen:  # fmt: skip
    """Pull if needed, start, and follow. `captured` names for each stream the variable that it will be in."""
    captured = captured or {}
    with watching(shell, image, quiet=quiet) as watch:
        running = engine.start(image, program, options, watch=watch)
    shown = tuple(stream for stream in (OUT, ERR) if tee or stream not in captured)
    pump = Pump(log=engine.log_path(running.container_id), shown=shown, captured=captured)
    try:
        result = follow(running, pump)
    except KeyboardInterrupt:
        for stream, name in captured.items():  # what came before the interrupt is there, as text
            shell.user_ns[name] = pump.captured[stream].decode("utf-8", "replace")
        raise
    kept = {stream: bytes(data) for stream, data in pump.captured.items()}
    return Seen(result._replace(stdout=kept.get(OUT), stderr=kept.get(ERR)), kept, pump.last_words)


def receipt(result: "Result") -> None:
    """Show how a run ended and what it took."""
    from pyck_magic.widgets import receipt as receipts

    show(receipts.bundle(result), receipts.metadata(result))


def failure(result: "Result", last_words: str) -> str:
    """Why a run failed, in one line: the engine's reason, else the last that the program said."""
    ended = f"the cell exited with code {result.exit_code}"
    if result.reason:
        return f"{ended}: {result.reason}"
    said = [line.strip() for line in last_words.replace("\r", "\n").splitlines() if line.strip()]
    if not said:
        return ended
    words = _SCRIPT_PREFIX.sub(r"line \1: ", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said[-1]))
    return f"{ended}: {''.join(letter for letter in words if letter.isprintable())[:_MESSAGE_LENGTH]}"


def _evaluate(shell: "InteractiveShell", name: str, expression: str) -> object:
    try:
        return shell.ev(expression)
    except NameError as error:
        raise BadRequest(f"-i {name}: {error}", hint="define it in a cell before, or write -i NAME=EXPR") from None
    except SyntaxError:
        raise BadRequest(f"-i {name}={expression}: no Python expression", hint="quote it: -i 'x=f(a, b)'") from None
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise BadRequest(f"-i {name}={expression}: {reason}", hint="try it in a cell of its own") from error


@dataclass(frozen=True, slots=True)
class _Brought:
    """Bytes on their way into a variable. `file` is where the format `path` keeps them."""

    name: str
    format: str
    data: bytes
    origin: str
    file: Path


def _file_brought(back: "FileBack", data: bytes, request: "CellRequest") -> _Brought:
    file = Path.cwd() / (back.file if request.share_directory else Path(back.file).name)
    inside = request.share_directory and request.options.workdir is None and file.resolve().is_relative_to(Path.cwd())
    target = file if inside else Path.cwd() / Path(back.file).name
    return _Brought(back.name, back.format, data, f"-o {back.file}={back.name}:{back.format}", target)


def _bring(shell: "InteractiveShell", brought: _Brought, body: str, problems: list[BadRequest]) -> None:
    """Set the variable; to plain text, with a problem noted, when the format does not fit."""
    try:
        if brought.format == "path":
            already = brought.origin.startswith("-o ") and brought.file.is_file() and brought.file.read_bytes() == brought.data
            value: object = brought.file if already else values.to_path(brought.data, brought.file)
        else:
            value = values.from_bytes(brought.data, brought.format, origin=brought.origin, script=body)
    except BadRequest as problem:
        problems.append(problem)
        value = brought.data.decode("utf-8", "replace")
    shell.user_ns[brought.name] = value
