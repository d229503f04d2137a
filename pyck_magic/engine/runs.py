"""Start a container, and see it through: image, place, plan, launch, result.

Runs in: the notebook kernel, any thread.
"""

import contextlib
import os
import pwd
import select
import stat
from collections.abc import Sequence
from datetime import UTC, datetime

from pyck_magic.engine import identity as identities
from pyck_magic.engine import plan as planning
from pyck_magic.engine.running import Running
from pyck_magic.linux import trees
from pyck_magic.model import names
from pyck_magic.model.errors import BadOption, BadRequest, ContainerFailed, NameTaken, NotPossibleHere, StoreError
from pyck_magic.model.options import RunOptions
from pyck_magic.model.records import Container, Image
from pyck_magic.model.result import Result
from pyck_magic.model.spec import LaunchSpec, Mode
from pyck_magic.runtime.client import Launching, Sandbox
from pyck_magic.store import Home
from pyck_magic.store.layers import Ownership

IdMap = tuple[tuple[int, int, int], ...]
Program = str | Sequence[str] | None
_CHUNK = 1 << 18


class Runs:
    """Starts containers of images that are here, in one home, through one launcher."""

    def __init__(self, home: Home, launcher: Launching) -> None:
        self._home = home
        self._launcher = launcher
        self._identities: dict[tuple[str, str], identities.Identity] = {}

    def start(
        self, image: Image, program: Program, options: RunOptions, mode: Mode, *,
        stdin_fd: int | None, stdout_fd: int | None, stderr_fd: int | None,
    ) -> Running:  # fmt: skip
        """Launch and return once the program has taken over. Raises LaunchError, BadRequest, NameTaken, StoreError.

        Descriptors that are None become: /dev/null for stdin, a pipe whose end `Running` holds for the others.
        """
        layers = self._layers(image, options)
        who = self._identify(image, options, layers)
        place = self._place(options, mode, layers)
        mould = planning.mould(place, options, who)
        with contextlib.ExitStack() as undo:
            sandbox = self._launcher.take(mould)
            undo.callback(sandbox.close)
            state = f"{self._home.path}/containers/{sandbox.id}"
            undo.callback(_remove, state)
            _move(f"{mould.sandboxes}/{sandbox.id}", state)
            spec = planning.plan(place, mould, sandbox.id, state, image.config, program, options, who)
            self._hand_in(state, options)
            container = self._container(image, spec, options, program)
            undo.callback(self._home.containers.remove, container.id)
            if options.name:  # it may be taken, and then nothing must have run
                self._home.containers.create(container)
            running = self._launch(sandbox, spec, image, container, (stdin_fd, stdout_fd, stderr_fd))
            undo.callback(running.close)
            try:
                if not options.name:
                    running.name = self._create_under_some_name(container)
                running.wait_until_started()
            except BaseException:
                running.kill()
                running.gone()
                raise
            undo.pop_all()
            return running

    def _layers(self, image: Image, options: RunOptions) -> tuple[str, ...]:
        ownership: Ownership = "range" if options.userns == "range" else "own"
        return tuple(self._home.layers.path(layer, ownership) for layer in image.layers)

    def _place(self, options: RunOptions, mode: Mode, layers: tuple[str, ...]) -> planning.Place:
        if mode == "root" and options.userns in ("single", "range"):
            raise BadOption(f"--userns {options.userns} is for ordinary users; you are root", hint="leave it out")
        if mode == "userns" and options.userns == "host":
            raise BadOption("--userns host needs root", hint="leave it out")
        root = self._home.path
        return planning.Place(
            mode=mode, sandboxes=f"{root}/sandboxes", staging=f"{root}/staging", volumes=f"{root}/volumes", layers=layers,
            stamps=tuple(stamp for layer in layers for stamp in _stamps(layer)), mount_changes=self._launcher.mount_changes(),
            ranges=_ranges() if options.userns == "range" else None,
        )  # fmt: skip

    def _identify(self, image: Image, options: RunOptions, layers: tuple[str, ...]) -> identities.Identity:
        user = options.user if options.user is not None else image.config.user
        key = (str(image.id), user)
        if key not in self._identities:
            self._identities[key] = identities.identify(user, layers)
        return self._identities[key]

    def _hand_in(self, state: str, options: RunOptions) -> None:
        """Write the values that come in where the sandbox will bind them from, and make room for those that go out."""
        try:
            if options.inputs:
                os.mkdir(f"{state}/in", 0o700)
            for name, value in options.inputs:
                if isinstance(value, bytes):
                    with open(planning.input_file(state, name), "wb") as file:
                        file.write(value)
            if options.outputs:
                os.mkdir(f"{state}/out", 0o700)
        except OSError as error:
            raise StoreError(f"cannot write into the container's folder: {error.strerror}", hint="look at the home") from error

    def _container(self, image: Image, spec: LaunchSpec, options: RunOptions, program: Program) -> Container:
        now = datetime.now(UTC)
        return Container(
            id=spec.id, name=options.name or names.invent(), image=image.names[0] if image.names else image.short_id,
            image_id=image.id, command=("sh", "-e", "cell") if isinstance(program, str) else spec.argv_choices[0],
            created=now, started=now, status="running", spec=spec.to_json().decode("ascii"),
        )  # fmt: skip

    def _create_under_some_name(self, container: Container) -> str:
        """Write the container down; an invented name gives way to one that is taken. Returns the name it has now."""
        for attempt in range(10):
            name = container.name + (str(attempt) if attempt else "")
            with contextlib.suppress(NameTaken):
                self._home.containers.create(container._replace(name=name))
                return name
        raise NameTaken("no free name could be invented", hint="give one with --name")

    def _launch(
        self, sandbox: Sandbox, spec: LaunchSpec, image: Image, container: Container,
        wanted: tuple[int | None, int | None, int | None],
    ) -> Running:  # fmt: skip
        handed: list[int] = []
        kept = [-1, -1]
        mine: list[int] = []
        try:
            if any(fd is not None and stat.S_ISDIR(os.fstat(fd).st_mode) for fd in wanted):
                raise BadRequest("a directory cannot be a container's stdin, stdout or stderr", hint="mount it with --volume")
            stdin_fd, *others = wanted
            if stdin_fd is None:
                stdin_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
                mine.append(stdin_fd)
            handed.append(stdin_fd)
            for number, fd in enumerate(others):
                if fd is None:
                    kept[number], fd = os.pipe2(os.O_CLOEXEC)
                    os.set_blocking(kept[number], False)
                    mine.append(fd)
                handed.append(fd)
            conversation = sandbox.launch(spec, (handed[0], handed[1], handed[2]))
        except BaseException:
            for fd in kept:
                if fd >= 0:
                    os.close(fd)
            raise
        finally:
            for fd in mine:
                os.close(fd)
        return Running(
            container_id=container.id, name=container.name, image=image, mode=spec.mould.mode,
            outputs={wanted: f"{spec.state}/out/{number}" for number, wanted in enumerate(spec.outputs)},
            stdout_fd=kept[0], stderr_fd=kept[1], conversation=conversation,
            at_end=self._forget if spec.mould.remove else self._remember,
        )  # fmt: skip

    def _forget(self, result: Result) -> None:
        with contextlib.suppress(StoreError):  # a full disk: whoever looks next sees that its monitor is gone
            self._home.containers.remove(result.container_id)

    def _remember(self, result: Result) -> None:
        with contextlib.suppress(StoreError):
            self._home.containers.finish(result.container_id, exit_code=result.exit_code, reason=result.reason)


def see_through(running: Running, *, check: bool) -> Result:
    """Read a container's output to the end and return its result, with stdout and stderr as bytes.

    An interrupt stops the container first. Raises ContainerFailed when `check` and the exit code is not 0.
    """
    streams = {fd: bytearray() for fd in (running.stdout_fd, running.stderr_fd) if fd >= 0}
    out, err = (streams.get(fd) for fd in (running.stdout_fd, running.stderr_fd))
    try:
        poll = select.poll()
        for fd in streams:
            poll.register(fd, select.POLLIN)
        unread = len(streams)
        while unread:
            for fd, _event in poll.poll():
                chunk = os.read(fd, _CHUNK)
                if chunk:
                    streams[fd] += chunk
                else:
                    poll.unregister(fd)
                    unread -= 1
        result = running.wait()
    except KeyboardInterrupt:
        running.interrupt()
        running.gone()
        raise
    finally:
        running.close()
    result = result._replace(
        stdout=bytes(out) if out is not None else None, stderr=bytes(err) if err is not None else None
    )
    if check and result.exit_code:
        raise ContainerFailed(f"the program exited with code {result.exit_code}", result=result)
    return result


def _move(sandbox: str, state: str) -> None:
    """From those that wait to those that run. Raises StoreError."""
    try:
        os.rename(sandbox, state)
    except OSError as error:
        hint = "was it removed by hand? Try again"
        raise StoreError(f"the container's folder is not where it was made: {error.strerror}", hint=hint) from error


def _remove(state: str) -> None:
    with contextlib.suppress(OSError):  # its monitor may be at it too
        trees.remove(state)


def _stamps(layer: str) -> tuple[int, int]:
    """What tells a layer's directory from another that was at its path before. Raises StoreError when there is none."""
    try:
        status = os.stat(layer)
    except OSError as error:
        raise StoreError(f"a layer of the image is missing: {layer}", hint="pull the image again") from error
    return status.st_ino, status.st_ctime_ns


def _ranges() -> tuple[IdMap, IdMap]:
    """The maps for `--userns range`: our own id is root inside, the ids granted in /etc/subuid follow.

    Raises NotPossibleHere when none are granted (subuid(5)).
    """
    maps = []
    for path, own in (("/etc/subuid", os.getuid()), ("/etc/subgid", os.getgid())):
        start, count = _granted(path)
        maps.append(((0, own, 1), (1, start, count)))
    return maps[0], maps[1]


def _granted(path: str) -> tuple[int, int]:
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
        for line in file:
            owner, _, grant = line.partition(":")
            start, _, count = grant.strip().partition(":")
            if owner in (user, str(uid)) and start.isdigit() and count.isdigit():
                return int(start), int(count)
    raise NotPossibleHere(
        f"no range of ids is granted to {user} in {path}",
        hint=f"an administrator can add one: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
    )
