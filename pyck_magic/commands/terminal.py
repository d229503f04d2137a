"""The `pyck` command: the face for terminals and scripts. The only part of the house that prints.

Runs in: a process of its own, with a single thread.
"""

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from pyck_magic.commands.answers import Answer, Document, Lines, Pulled, Ran, RunRequest, Table, Watcher
from pyck_magic.commands.grammar import parse
from pyck_magic.commands.verbs import answer
from pyck_magic.model.errors import BadOption, LaunchError, NotFound, PyckError
from pyck_magic.model.options import RunOptions

if TYPE_CHECKING:
    from pyck_magic.engine import Engine, Running

_ENGINE_FAILED, _INTERRUPTED, _PIPE_CLOSED = 125, 130, 141
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
_PATIENCE = 3
_CHUNK = 1 << 16


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit code, which for `run` is docker run's."""
    words = sys.argv[1:] if argv is None else list(argv)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        return _perform(words)
    except PyckError as error:
        _complain(error)
        return _code_of(error, words)
    except KeyboardInterrupt:
        _say_error("pyck: interrupted")
        if words[:1] == ["pull"]:
            _say_error("hint: what has been downloaded stays: the next pull goes on from there")
        return _INTERRUPTED
    except BrokenPipeError:
        # `pyck images | head`: nobody reads any more, and Python must not try to flush at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return _PIPE_CLOSED


def _perform(words: Sequence[str]) -> int:
    engines: list[Engine] = []

    def open_engine() -> "Engine":
        from pyck_magic.engine import Engine

        engines.append(Engine(warm=False))
        return engines[0]

    try:
        said = answer(parse(words), open_engine, Terminal())
        code = _show(said)
        sys.stdout.flush()
        return code
    finally:
        for engine in engines:
            engine.close()


class Terminal:
    """What verbs need from a terminal."""

    program = "pyck"

    @contextlib.contextmanager
    def watch(self, reference: str, *, quiet: bool) -> Iterator[Watcher | None]:
        """The progress of a pull, on stdout."""
        if quiet:
            yield None
            return
        from pyck_magic.commands.progress import heading

        print(heading(reference))
        with _watching(sys.stdout) as watcher:
            yield watcher

    def run(self, engine: "Engine", request: RunRequest) -> Ran:
        """Pass on to the container our stdin and signals, and to our stdout and stderr what it writes; wait for its end."""
        sys.stdout.flush()
        with _pull_on_demand(request) as watcher:
            options = _bring(engine, request, watcher)
            with Forwarding() as forwarding:
                running = engine.start(
                    request.image, request.command or None, options,
                    stdin_fd=0 if request.interactive else None, watch=watcher,
                )  # fmt: skip
                with running:
                    forwarding.attach(running)
                    relay({running.stdout_fd: 1, running.stderr_fd: 2})
                    result = running.wait()
                    running.gone()
        for warning in result.warnings:
            _say_error(f"pyck: warning: {warning}")
        return Ran(result)


def _bring(engine: "Engine", request: RunRequest, watcher: Watcher | None) -> RunOptions:
    """Pull first if that is due: a pull may be interrupted, while from the start on signals belong to the program."""
    options = request.options
    if options.pull == "missing":
        try:
            engine.images.get(request.image)
            return options
        except NotFound:
            pass
    if options.pull != "never":
        engine.pull(request.image, platform=options.platform, watch=watcher)
        return options._replace(pull="missing")
    return options


@contextlib.contextmanager
def _watching(stream: IO[str]) -> Iterator[Watcher]:
    from pyck_magic.commands.progress import Bars, PlainLines

    if stream.isatty():
        with Bars(stream) as bars:
            yield bars
    else:
        yield PlainLines(lambda line: print(line, file=stream, flush=True))


@contextlib.contextmanager
def _pull_on_demand(request: RunRequest) -> Iterator[Watcher | None]:
    """Progress on stderr, if a pull turns out to be needed: most runs need none, and pay nothing for it."""
    if request.quiet:
        yield None
        return
    with contextlib.ExitStack() as stack:
        watchers: list[Watcher] = []

        def watch(event: object) -> None:
            if not watchers:
                if request.options.pull == "missing":
                    from pyck_magic.model.reference import Reference

                    _say_error(f"Unable to find image '{Reference.parse(request.image).familiar}' locally")
                watchers.append(stack.enter_context(_watching(sys.stderr)))
            watchers[0](event)  # type: ignore[arg-type]

        yield watch


def relay(streams: dict[int, int]) -> None:
    """Copy from each descriptor to another until all end. Who reads no more (a closed pipe) is not written to any more.

    The container has pipes, and not our own descriptors: by the name /dev/stdout it would open, and empty, our files.
    """
    poll = select.poll()
    for source in streams:
        poll.register(source, select.POLLIN)
    left = dict(streams)
    while left:
        for source, _event in poll.poll():
            try:
                chunk = memoryview(os.read(source, _CHUNK))
            except BlockingIOError:
                continue
            if not chunk:
                poll.unregister(source)
                del left[source]
            try:
                while chunk:
                    chunk = chunk[os.write(left[source], chunk) :]
            except OSError:
                poll.unregister(source)
                del left[source]
                _replace_by_nothing(source)  # so the program hears of it


def _replace_by_nothing(fd: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(nothing, fd, inheritable=False)
    os.close(nothing)


class Forwarding:
    """Signals go to the program; those that come before it runs wait for it.

    It may ignore them: the third SIGINT or SIGTERM ends the container, as with docker run.
    """

    def __init__(self) -> None:
        self._running: Running | None = None
        self._waiting: list[int] = []
        self._requests_to_end = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Forwarding":
        self._before = {number: signal.signal(number, self._receive) for number in _FORWARDED}
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def attach(self, running: "Running") -> None:
        """The program runs: it gets what has been waiting, and everything from now on."""
        self._running = running
        while self._waiting:
            running.signal(self._waiting.pop(0))

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self._requests_to_end += number in (signal.SIGINT, signal.SIGTERM)
        impatient = self._requests_to_end >= _PATIENCE
        if self._running is None:
            if impatient:
                raise KeyboardInterrupt
            self._waiting.append(number)
        elif impatient:
            self._running.kill()
        else:
            self._running.signal(number)


def _show(said: Answer) -> int:
    """Print an answer; returns the exit code that goes with it."""
    if isinstance(said, Ran):
        return said.result.exit_code
    if isinstance(said, Table):
        from pyck_magic.commands.layouts import table_lines

        print(*table_lines(said), sep="\n")
        return int(said.kind == "doctor" and any(row["ok"] is False for row in said.dicts()))
    if isinstance(said, Lines):
        from pyck_magic.commands.draw import printable

        for line in said.lines:
            print(printable(line))
        sys.stdout.flush()
        for failure in said.failures:
            _complain(failure)
        return int(bool(said.failures))
    if isinstance(said, Document):
        import json

        print(json.dumps(said.value, indent=4, default=str))
        sys.stdout.flush()
        for failure in said.failures:
            _complain(failure)
        return int(bool(said.failures))
    return _show_pulled(said)


def _show_pulled(pulled: Pulled) -> int:
    if not pulled.quiet:
        report = pulled.report
        print(f"Digest: {report.digest}")
        print(f"Status: {'Image is up to date' if report.up_to_date else 'Downloaded newer image'} for {report.reference}")
    print(pulled.reference)
    return 0


def _code_of(error: PyckError, words: Sequence[str]) -> int:
    """Docker's codes: 126 and 127 from `run` for a program that cannot be started, 125 from `run` for anything else
    and from every verb for a wrong option, 1 for the rest."""
    if words[:1] == ["run"]:
        return error.exit_code if isinstance(error, LaunchError) else _ENGINE_FAILED
    return _ENGINE_FAILED if isinstance(error, BadOption) else 1


def _complain(error: PyckError) -> None:
    from pyck_magic.commands.draw import printable

    _say_error(f"pyck: {printable(str(error))}")
    if error.hint:
        _say_error(f"hint: {printable(error.hint)}")


def _say_error(line: str) -> None:
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
