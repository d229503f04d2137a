"""The birth of a container, step by step: what happens when one of them fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyck_magic.runtime import birth

# Patching a step needs the process that will fork the newborn, so each case is a process of its own.
CASE = """
import json, os, sys
from pyck_magic.model.spec import LaunchSpec, Mould
from pyck_magic.runtime import birth, messages
from pyck_magic.runtime.client import OwnLauncher

room, broken = sys.argv[1], sys.argv[2]
def fail(_birth):
    raise OSError(5, "made to fail", "/somewhere")
fail.__name__ = broken
for phase in ("PREPARE", "FINISH"):
    setattr(birth, phase, tuple(fail if step.__name__ == broken else step for step in getattr(birth, phase)))
for folder in ("sandboxes", "staging"):
    os.makedirs(f"{room}/{folder}")
me = os.getuid()
maps = {} if me == 0 else {"uid_map": ((0, me, 1),), "gid_map": ((0, os.getgid(), 1),)}
mould = Mould(
    mode="root" if me == 0 else "userns", network="none", sandboxes=f"{room}/sandboxes", staging=f"{room}/staging",
    layers=(f"{room}/image",), etc=("hosts",), capabilities=("CAP_KILL", "CAP_SETGID", "CAP_SETUID"), **maps,
)
spec = LaunchSpec(
    id="1", mould=mould, state=f"{room}/sandboxes/1", hostname="box",
    argv_choices=(("/bin/sh", "-c", "echo ran"),), env=("PATH=/bin",), workdir="/", uid=0, gid=0,
    script="true", etc=(("hosts", "127.0.0.1 localhost"),),
)
sandbox = OwnLauncher().take(mould)
os.rename(f"{mould.sandboxes}/{sandbox.id}", spec.state)
conversation = sandbox.launch(spec, (0, 1, 2))
said = []
while (heard := messages.receive(conversation)) is not None:
    said.append(heard[0])
print(json.dumps([said, bool(os.listdir(f"{room}/sandboxes"))]), file=sys.stderr)
"""


def run_case(tmp_path: Path, broken: str) -> tuple[list[dict[str, object]], bool, str]:
    """What the monitor said, whether the container's folder is still there, and what the program printed."""
    shell = tmp_path / "image" / "bin" / "sh"
    shell.parent.mkdir(parents=True)
    shell.write_bytes(Path("/bin/busybox").read_bytes())
    shell.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", CASE, str(tmp_path), broken], capture_output=True, text=True, check=True)
    said, left = json.loads(done.stderr.strip().splitlines()[-1])
    return said, left, done.stdout


def test_without_a_broken_step_the_program_runs(tmp_path: Path) -> None:
    """The control: the same container, nothing broken, runs its program and leaves nothing."""
    said, left, printed = run_case(tmp_path, "none at all")
    assert [one["word"] for one in said] == ["started", "exited"]
    assert said[1]["exit_code"] == 0
    assert printed == "ran\n"
    assert not left


@pytest.mark.parametrize("step", [step.__name__ for step in birth.STEPS])
def test_a_step_that_fails_is_named_and_nothing_runs(tmp_path: Path, step: str) -> None:
    """Whichever step fails, the error names it, the program does not run, and the folder is gone."""
    said, left, printed = run_case(tmp_path, step)
    assert said == [{"word": "failed", "step": step, "errno": 5, "path": "/somewhere", "text": "made to fail"}]
    assert printed == ""
    assert not left
    assert not os.path.ismount(tmp_path / "staging")


def test_every_step_explains_itself() -> None:
    """Each step has a docstring: it is what a student reads."""
    assert all(step.__doc__ for step in birth.STEPS)
