"""The doctor in worlds made for it: each is a process that has taken something away from itself, and must be told what."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORLD = """
import json, os, sys
from pyck_magic.engine import doctor
from pyck_magic.linux import capabilities, idmaps, libc, seccomp
from pyck_magic.model.errors import PyckError
from pyck_magic.runtime import seccomp_profile

world, home, question = sys.argv[1:4]

def become_root_of_a_namespace():
    uid, gid = os.getuid(), os.getgid()
    libc.unshare(libc.CLONE_NEWUSER | libc.CLONE_NEWNS)
    idmaps.write(os.getpid(), ((0, uid, 1),), ((0, gid, 1),), by_helper=False)
    libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)

if world == "nested":
    become_root_of_a_namespace()
elif world == "no user namespaces":
    become_root_of_a_namespace()
    with open("/proc/sys/user/max_user_namespaces", "w") as file:
        file.write("0")
elif world == "pod":
    seccomp.install(seccomp_profile.program(seccomp_profile.DEFAULT_CAPABILITIES))
elif world == "masked proc":
    become_root_of_a_namespace()
    libc.mount("/dev/null", "/proc/timer_list" if os.path.exists("/proc/timer_list") else "/proc/kcore", None, libc.MS_BIND)
    libc.mount("tmpfs", "/proc/acpi" if os.path.exists("/proc/acpi") else "/proc/fs", "tmpfs", libc.MS_RDONLY)
elif world == "home on overlay":
    become_root_of_a_namespace()
    libc.mount("tmpfs", home, "tmpfs")
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{home}/{name}")
    os.chdir(home)
    libc.mount("overlay", f"{home}/merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work,userxattr")
    home += "/merged"
else:
    assert world == "here"

try:
    answer = {"mode": doctor.mode(home)} if question == "mode" else [check._asdict() for check in doctor.doctor(home)]
except PyckError as error:
    answer = {"error": type(error).__name__, "message": str(error), "hint": error.hint}
left = [name for name in os.listdir(home) if name != "probe.json"]
remembered = os.path.exists(f"{home}/probe.json")
print(json.dumps([answer, left, remembered]))
"""


def visit(world: str, home: Path, question: str = "mode") -> tuple[object, list[str], bool]:
    """Ask the doctor in a world: the answer, what it left in the home, and whether it wrote the answer down."""
    done = subprocess.run(
        [sys.executable, "-c", WORLD, world, os.fspath(home), question], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answer, left, remembered = json.loads(done.stdout)
    return answer, left, remembered


def refusal(world: str, home: Path) -> tuple[str, str]:
    """Message and hint of the refusal in a world. Nothing is left behind, and nothing remembered: a fix must show at once."""
    answer, left, remembered = visit(world, home)
    assert isinstance(answer, dict) and answer.get("error") == "NotPossibleHere", answer
    assert left == [] and not remembered
    return answer["message"], answer["hint"]


def test_here_containers_can_be_made(tmp_path: Path) -> None:
    """The control of all that follows: without a world around it the same process is told how containers are made."""
    answer, left, remembered = visit("here", tmp_path)
    assert answer == {"mode": "root" if os.geteuid() == 0 else "userns"}
    assert left == [] and remembered


def test_uid_zero_is_not_believed(tmp_path: Path) -> None:
    """Root of a mere user namespace can mount, but overlayfs would lose its marks: a namespace of its own is the way."""
    assert visit("nested", tmp_path)[0] == {"mode": "userns"}


def test_a_limit_of_zero_is_named(tmp_path: Path) -> None:
    """ENOSPC from clone is the sysctl, and the text says that it is not the disk."""
    message, hint = refusal("no user namespaces", tmp_path)
    assert "user.max_user_namespaces is 0" in message and "nothing to do with your disk" in message
    assert "sysctl -w user.max_user_namespaces=15000" in hint


def test_a_pods_seccomp_profile_is_recognised(tmp_path: Path) -> None:
    """Under Docker's filter, as root or not, the cause is the container around the notebook, and three settings would help."""
    message, hint = refusal("pod", tmp_path)
    assert "runs in a container whose seccomp profile forbids namespaces" in message
    for setting in ("seccompProfile: Unconfined", "AppArmor", "procMount: Unmasked"):
        assert setting in hint


def test_a_masked_proc_is_recognised(tmp_path: Path) -> None:
    """Where parts of /proc are covered the kernel refuses a fresh one, and the setting that uncovers them is named."""
    message, hint = refusal("masked proc", tmp_path)
    assert "parts of /proc are covered" in message
    assert "systempaths=unconfined" in hint and "procMount: Unmasked" in hint


def test_a_home_on_overlayfs_is_recognised(tmp_path: Path) -> None:
    """A home that cannot hold a writable layer is named, and PYCK_HOME is the way out."""
    message, hint = refusal("home on overlay", tmp_path)
    assert "cannot hold a writable layer" in message and os.fspath(tmp_path) in message
    assert "PYCK_HOME" in hint


def test_what_is_remembered_is_used_and_a_change_is_noticed(tmp_path: Path) -> None:
    """The second process reads what the first found; one with less privilege in the same home asks the machine again."""
    visit("here", tmp_path)
    file = tmp_path / "probe.json"
    (key,) = json.loads(file.read_text())
    file.write_text(json.dumps({key: "userns" if os.geteuid() == 0 else "root"}))
    assert visit("here", tmp_path)[0] == {"mode": "userns" if os.geteuid() == 0 else "root"}
    answer, _left, _remembered = visit("pod", tmp_path)
    assert isinstance(answer, dict) and answer["error"] == "NotPossibleHere"


@pytest.mark.parametrize("nonsense", [b"", b"[1]", b"{", b'{"x": "proot"}', b"\xff\xfe"])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, nonsense: bytes) -> None:
    """Whatever is in probe.json, the answer is the machine's."""
    (tmp_path / "probe.json").write_bytes(nonsense)
    assert visit("here", tmp_path)[0] == {"mode": "root" if os.geteuid() == 0 else "userns"}


def test_the_report_names_what_is_missing_with_its_fix(tmp_path: Path) -> None:
    """In the pod every failed check has a cause, a consequence and a fix; here the main one succeeds and needs none."""
    report = {check["subject"]: check for check in visit("here", tmp_path, "doctor")[0]}  # type: ignore[union-attr, call-overload, index]
    assert report["containers"]["ok"] is True and report["containers"]["fix"] == ""
    assert report["seccomp"]["ok"] is True and report["network none"]["ok"] is True
    pod = visit("pod", tmp_path, "doctor")[0]
    assert isinstance(pod, list)
    failed = [check for check in pod if check["ok"] is not True]
    assert {"containers", "user namespaces"} <= {check["subject"] for check in failed}
    assert all(check["found"] and check["consequence"] and check["fix"] for check in failed)


@pytest.mark.skipif(os.geteuid() == 0, reason="as root the id range does not matter; run as an ordinary user")
def test_a_user_without_a_range_is_told_the_grant(tmp_path: Path) -> None:
    """A user whom /etc/subuid does not know still runs containers, with one id, and learns the usermod line."""
    report = {check["subject"]: check for check in visit("here", tmp_path, "doctor")[0]}  # type: ignore[union-attr, call-overload, index]
    check = report["id range"]
    if check["ok"]:
        pytest.skip("this user has a range")
    assert check["ok"] is None and "emulated" in check["consequence"]
    assert "usermod --add-subuids" in check["fix"] or "apt install uidmap" in check["fix"]


RANGE = """
import json, os, sys
from pyck_magic.linux import libc
from pyck_magic.runtime import attempts, probe
libc.unshare(libc.CLONE_NEWNS)
libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
for name in ("subuid", "subgid"):
    libc.mount(f"{sys.argv[1]}/{name}", f"/etc/{name}", None, libc.MS_BIND)
print(json.dumps(attempts.attempt(probe.id_range, attempts.Room(sys.argv[1]))))
"""


@pytest.mark.needs_root
@pytest.mark.skipif(os.geteuid() != 0, reason="puts another /etc/subuid in place")
@pytest.mark.parametrize(("grant", "works"), [("root:200000:65536\n", True), ("0:300000:1000\n", True), ("someone:1:2\n", False)])
def test_a_range_is_mapped_for_real(tmp_path: Path, grant: str, works: bool) -> None:
    """A grant by name or by number is mapped by newuidmap; somebody else's is not taken."""
    if not (os.path.exists("/usr/bin/newuidmap") and os.path.exists("/etc/subuid")):
        pytest.skip("uidmap is not installed")
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text(grant)
    done = subprocess.run(
        [sys.executable, "-c", RANGE, os.fspath(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    finding = json.loads(done.stdout)
    assert (finding["errno"] == 0) is works, finding
    if works:
        _owner, first, count = grant.strip().split(":")
        assert finding["detail"] == f"{count} ids from {first}"


HANGING = """
import json, os, signal, sys
from pyck_magic.runtime import attempts
def hang(room):
    pid = os.fork()
    open(f"{room.path}/{'child' if pid == 0 else 'probe'}", "w").write(str(os.getpid()))
    signal.pause()
print(json.dumps(attempts.attempt(hang, attempts.Room(sys.argv[1]), limit_s=0.3)))
"""


def test_a_probe_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """A probe has a time limit; then it and what it started are gone, and the others go on."""
    done = subprocess.run(
        [sys.executable, "-c", HANGING, os.fspath(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout)["text"] == "took too long"
    for name in ("child", "probe"):
        pid = int((tmp_path / name).read_text())
        assert not os.path.exists(f"/proc/{pid}") or "(zombie)" in Path(f"/proc/{pid}/status").read_text()


def test_probing_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    """No mount, no namespace holder and no file remains after a survey."""
    before = Path("/proc/self/mountinfo").read_text()
    visit("here", tmp_path, "doctor")
    assert Path("/proc/self/mountinfo").read_text() == before
    assert os.listdir(tmp_path) == []


def test_what_a_killed_probe_left_is_swept(tmp_path: Path) -> None:
    """An old folder of a probe goes with the next one; a fresh one may be somebody's who is still at it."""
    for name in ("probe-old", "probe-fresh"):
        (tmp_path / name / "folder").mkdir(parents=True)
    os.utime(tmp_path / "probe-old", (0, 0))
    visit("here", tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["probe-fresh", "probe.json"]
