"""What outlives a container, and what else an image may be called."""

from pathlib import Path

import pytest

from pyck_magic import Engine
from pyck_magic.model.errors import BadReference, BadRequest, Conflict, NotFound
from pyck_magic.model.options import RunOptions, Volume
from tests.images.registry import Registry
from tests.kernel.test_pyck_command import pyck, text


@pytest.fixture
def tiny(engine: Engine, registry: Registry) -> str:
    name = f"{registry.address}/tiny:latest"
    engine.pull(name)
    return name


def with_volume(volume: str, **more: object) -> RunOptions:
    return RunOptions(network="none", volumes=(Volume(source=volume, target="/data"),), **more)  # type: ignore[arg-type]


def test_a_volume_outlives_containers(engine: Engine, tiny: str) -> None:
    """What one container writes into it, the next one reads; what is written elsewhere is gone."""
    engine.run(tiny, "echo kept > /data/file; echo lost > /file", with_volume("mine"))
    assert engine.run(tiny, "cat /data/file; ls /file 2>/dev/null || true", with_volume("mine")).text == "kept\n"
    assert [volume.name for volume in engine.volumes.list()] == ["mine"]


def test_a_volume_in_use_stays(engine: Engine, tiny: str) -> None:
    """Also when the container that has it has stopped: Docker's sentence, and the command that resolves it."""
    engine.run(tiny, ["true"], with_volume("mine", remove=False, name="user"))
    with pytest.raises(Conflict, match=r"remove mine: volume is in use - \[[0-9a-f]{64}\]") as caught:
        engine.volumes.remove("mine")
    assert "pyck rm" in caught.value.hint
    engine.containers.remove("user")
    path = Path(engine.volumes.remove("mine").path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["../up", "a/b", "x", "", ".hidden", "a\nb"])
def test_names_of_volumes_are_no_paths(name: str, engine: Engine) -> None:
    """Nothing outside the folder of volumes can be meant."""
    with pytest.raises(BadRequest):
        engine.volumes.create(name)
    with pytest.raises(NotFound):
        engine.volumes.remove(name)


def test_volumes_on_a_terminal(home: Path) -> None:
    """Docker's words: the name after creating and removing, a table, JSON."""
    assert text(home, "volume", "create", "mine") == "mine\n" == text(home, "volume", "create", "mine")
    assert len(text(home, "volume", "create").strip()) == 64
    assert text(home, "volume", "ls").splitlines()[0].split() == ["DRIVER", "VOLUME", "NAME"]
    assert "mine" in text(home, "volume", "ls", "-q").splitlines()
    assert '"Driver": "local"' in text(home, "volume", "inspect", "mine")
    assert text(home, "volume", "rm", "mine") == "mine\n"
    done = pyck(home, "volume", "rm", "mine")
    assert (done.returncode, b"no such volume: mine" in done.stderr) == (1, True)
    done = pyck(home, "volume", "lst")
    assert (done.returncode, b"did you mean volume ls?" in done.stderr) == (1, True)


def test_an_image_of_several_names(engine: Engine, tiny: str) -> None:
    """Removing one name leaves the image; removing the last one removes it; a name may move to another image."""
    engine.images.tag(tiny, "my/tool:1")
    engine.images.tag(tiny, "my/tool:2")
    assert set(engine.images.get("my/tool:1").names) == {tiny, "my/tool:1", "my/tool:2"}
    assert engine.images.remove("my/tool:1") == ("Untagged: my/tool:1",)
    assert engine.run("my/tool:2", ["echo", "here"]).text == "here\n"
    with pytest.raises(NotFound):
        engine.images.tag("nobody", "my/tool:3")
    for wrong in ("UPPER", "a@sha256:" + "0" * 64):
        with pytest.raises(BadReference):
            engine.images.tag(tiny, wrong)
