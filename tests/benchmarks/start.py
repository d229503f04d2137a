"""How long `true` in the BLAST image takes, from the request to its end.

    python -m tests.benchmarks start

As root this is docker, podman, crun and bwrap; as an ordinary user those of them that work without root.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from pyck_magic import Engine
from pyck_magic.model.options import RunOptions
from tests.benchmarks import rivals
from tests.benchmarks.harness import Absent, Contestant, Table, race
from tests.images import layers, recipe
from tests.images.build import Images, ready, skopeo
from tests.images.layout import Layout
from tests.images.registry import Registry

NO_NETWORK = RunOptions(network="none")
WHO = "an ordinary user" if os.geteuid() else "root"
AT_ONCE, RUNS = 8, 100


def tables() -> Iterator[Table]:
    """The tables of this benchmark."""
    images = ready()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pyck-bench-", ignore_cleanup_errors=True)))
        registry = stack.enter_context(Registry(images.registry_root, read_only=True))
        blast = f"{registry.address}/blast:latest"
        engine = stack.enter_context(Engine(scratch / "home"))
        engine.pull(blast)
        others, absent = enter_rivals(stack, scratch, images)

        us = {"pyck": ours(engine, blast)}
        single = Table(f"Start of `true` as {WHO}", ours="pyck", goals=goals(docker=25, podman=25, crun=2, floor=1))
        single.absent |= absent
        race(single, us | others, rounds=25, warm_up=2)
        yield single

        title = f"{RUNS} starts, {AT_ONCE} at a time, as {WHO}: ms per container"
        crowd = Table(title, ours="pyck", factor=1000 / RUNS, goals={"docker": 15})
        crowd.absent |= absent
        race(crowd, {name: many(run) for name, run in (us | others).items()}, rounds=3, warm_up=0)
        yield crowd

        fresh = Table(f"A fresh `pyck run --rm` command as {WHO}", ours="pyck run", goals={"podman run": 2})
        commands: dict[str, Contestant] = {"pyck run": command(scratch / "home", blast)}
        commands |= {f"{name} run": others[name] for name in ("docker", "podman") if name in others}
        race(fresh, commands, rounds=15, warm_up=2)
        yield fresh

        title = f"An empty home and one with 1,000 containers and 100 images, as {WHO}"
        full = Table(title, ours="full", goals={"empty": 1 / 1.2})
        race(full, empty_and_full(stack, scratch, images), rounds=40, warm_up=3)
        yield full


def goals(**times: float) -> dict[str, float]:
    """What we want to be faster than, by how much."""
    named = {"floor": "C program"}
    return {named.get(name, name): value for name, value in times.items()}


def ours(engine: Engine, image: str) -> Contestant:
    """A run through a warm engine: overlay, capabilities, seccomp and receipt included."""

    def run() -> None:
        engine.run(image, ["true"], NO_NETWORK)

    return run


def command(home: Path, image: str) -> Contestant:
    """The same as a new process each time."""
    line = [str(Path(sys.executable).with_name("pyck")), "run", "--rm", "--network", "none", image, "true"]
    env = dict(os.environ, PYCK_HOME=str(home))
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed command has its bytecode
    return lambda: rivals.void(rivals.quietly(line, env=env))


def enter_rivals(stack: ExitStack, scratch: Path, images: Images) -> tuple[dict[str, Contestant], dict[str, str]]:
    """Everybody who can take part here, and why the others cannot."""
    able: dict[str, Contestant] = {}
    absent: dict[str, str] = {}

    def enter(name: str, make: Callable[[], Contestant]) -> None:
        try:
            able[name] = make()
        except (Absent, RuntimeError, FileNotFoundError) as why:
            absent[name] = str(why).splitlines()[-1][:150]

    def daemon() -> Contestant:
        line = stack.enter_context(rivals.docker(scratch / "docker", images))
        line = [*line, "run", "--rm", "--network", "none", "blast", "true"]
        return lambda: rivals.void(rivals.quietly(line))

    def podman() -> Contestant:
        line = stack.enter_context(rivals.podman(scratch / "podman", images))
        line = [*line, "run", *rivals.PODMAN_LIMITS, "--rm", "--network", "none", "localhost/blast", "true"]
        return lambda: rivals.void(rivals.quietly(line))

    bundle = scratch / "bundle"
    try:
        rivals.bundle(bundle, images)
    except (Absent, RuntimeError) as why:
        absent |= dict.fromkeys(("crun", "bwrap", "C program"), f"no bundle: {why}"[:150])
    else:
        bundle.chmod(0o755)
        enter("crun", lambda: rivals.crun(bundle, scratch / "crun"))
        enter("bwrap", lambda: rivals.bwrap(bundle))
        enter("C program", lambda: rivals.floor(bundle, scratch))
    enter("docker", daemon)
    enter("podman", podman)
    return able, absent


def many(run: Contestant) -> Contestant:
    """RUNS of them, AT_ONCE at a time; the wall time of all together counts."""

    def all_together() -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for future in [pool.submit(run) for _ in range(RUNS)]:
                future.result()

    return all_together


def empty_and_full(stack: ExitStack, scratch: Path, images: Images) -> dict[str, Contestant]:
    """Engines on an empty home and on a full one, which is filled for real."""
    layout = Layout(scratch / "crowd")
    for name, tar in layers.small_layers():
        layout.add_layer(name, tar)
    tiny = next(one for one in recipe.RECIPES if one.name == "tiny")
    names = [f"crowd-{number}" for number in range(100)]
    for name in names:
        layout.add_image(replace(tiny, config=tiny.config | {"Labels": {"name": name}}), name=name)
    layout.finish()
    crowd = Images(scratch)
    (scratch / "layout").symlink_to("crowd")
    made: dict[str, Contestant] = {}
    with Registry(scratch / "registry") as registry:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: skopeo(crowd, registry, name, name), names))
        for title, wanted, containers in (("empty", names[:1], 0), ("full", names, 1000)):
            engine = stack.enter_context(Engine(scratch / f"home-{title}"))
            for name in wanted:
                engine.pull(f"{registry.address}/{name}")
            image = f"{registry.address}/{names[0]}:latest"
            made[title] = ours(engine, image)
            keep = NO_NETWORK._replace(remove=False)
            for _ in range(containers):
                engine.run(image, ["true"], keep)
    return made


