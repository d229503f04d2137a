"""What a program in a container can reach: every probe inside has a control outside that shows what it would find."""

import hashlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyck_magic.linux import capabilities
from pyck_magic.model.spec import Bind
from pyck_magic.runtime import preparing
from pyck_magic.runtime.seccomp_profile import DEFAULT_CAPABILITIES
from tests.kernel.sandbox import MODES, make_image, run

STATUS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
SHOW_STATUS = "cat /proc/self/status"


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """As root a container is made in both ways, as an ordinary user in the one there is."""
    return str(request.param)


def status(text: str) -> dict[str, int]:
    """The lines of /proc/PID/status about privileges."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: int(fields[name], 16) for name in STATUS}


def test_privileges_are_dockers_and_nothing_is_inheritable(tmp_path: Path, mode: str) -> None:
    """Root in a container has the fourteen capabilities, none of them inheritable or ambient (CVE-2022-24769)."""
    granted = sum(1 << capabilities.NUMBERS[name] for name in DEFAULT_CAPABILITIES)
    outside = status(Path("/proc/self/status").read_text())
    if mode == "root":
        granted &= outside["CapPrm"]
    inside = status(run(tmp_path, SHOW_STATUS, mode=mode).out)
    assert inside == {
        "CapInh": 0, "CapPrm": granted, "CapEff": granted, "CapBnd": granted, "CapAmb": 0, "NoNewPrivs": 1, "Seccomp": 2,
    }  # fmt: skip
    assert outside["CapBnd"] & ~granted, "the control has more to lose"
    assert outside["Seccomp"] == outside["NoNewPrivs"] == 0, "the control is not confined"


def test_another_user_has_no_privileges(tmp_path: Path, mode: str) -> None:
    """As uid 1000 the sets are empty; only the bounding set says what root could have had."""
    ending = run(tmp_path, SHOW_STATUS + "; id -u; id -g; id -G", mode=mode, uid=1000, gid=1001)
    inside = status(ending.out)
    assert {name: inside[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapAmb"), 0
    )
    uid, gid, groups = ending.out.splitlines()[-3:]
    assert (uid, gid) == ("1000", "1001")
    # A user namespace of one id shows the host's other groups as nobody's (65534); they cannot be given up.
    assert set(groups.split()) <= ({"1001"} if mode == "root" else {"1001", "65534"})


def test_only_stdio_comes_along(tmp_path: Path, mode: str) -> None:
    """No descriptor but 0, 1 and 2, although the process outside held an inheritable one (CVE-2024-21626)."""
    ending = run(tmp_path, "/bin/sh", "-c", "cd /proc/self/fd && echo [0-9]*", mode=mode)
    # The shell's glob holds one descriptor itself: that of the directory it lists.
    assert ending.out.split() in (["0", "1", "2"], ["0", "1", "2", "3"])
    held = run(tmp_path / "b", "readlink /proc/self/fd/3 || echo nothing", mode=mode)
    assert held.out == "nothing\n"


def test_the_environment_is_the_containers_own(tmp_path: Path, mode: str) -> None:
    """No variable of the process outside is visible, neither in our own environment nor in that of pid 1."""
    ending = run(tmp_path, "env; cat /proc/1/environ", mode=mode)
    assert "SECRET" not in ending.out
    names = {line.split("=")[0] for line in ending.out.splitlines()}
    assert names <= {"PATH", "SHLVL", "PWD", "OLDPWD"}
    assert "Permission denied" in ending.err


def test_pid_1_cannot_be_looked_into(tmp_path: Path, mode: str) -> None:
    """The interpreter of pid 1, its memory, root and descriptors are out of reach; one's own exe is not (CVE-2016-9962)."""
    tries = "for what in exe root cwd fd/0 fd/3 fd/4 fd/5; do readlink /proc/1/$what && echo reached; done; "
    tries += "head -c 4 /proc/1/exe && echo reached; head -c 1 /proc/1/mem && echo reached; ls /proc/1/root/ && echo reached; "
    tries += "ls /proc/1/map_files/; readlink /proc/self/exe"
    assert run(tmp_path, tries, mode=mode).out == "/bin/busybox\n"


@pytest.mark.parametrize("landlock", [True, False], ids=["landlock", "without landlock"])
@pytest.mark.parametrize("how", ["argv", "shebang", "nested shebang", "link"])
def test_the_hosts_interpreter_cannot_be_the_program(tmp_path: Path, mode: str, how: str, landlock: bool) -> None:
    """/proc/self/exe as program or as `#!` is refused: it is the host's Python, run by the image's loader (CVE-2019-5736)."""
    image = make_image(tmp_path / "image")
    (image / "lib64").mkdir()
    shutil.copy("/bin/busybox", image / "lib64/ld-linux-x86-64.so.2")
    for name, interpreter in (("evil", "/proc/self/exe"), ("nested", "/evil"), ("good", "/bin/sh"), ("nested-good", "/good")):
        (image / name).write_text(f"#!{interpreter}\necho ran\n")
        (image / name).chmod(0o755)
    (image / "link").symlink_to("/proc/self/exe")
    program = {"argv": "/proc/self/exe", "shebang": "/evil", "nested shebang": "/nested", "link": "/link"}[how]
    ending = run(tmp_path / "a", program, "sh", "-c", "echo ran", mode=mode, image=image, landlock=landlock)
    assert (ending.failure.get("step"), ending.failure.get("errno"), ending.out) == ("exec", 13, "")
    control = run(tmp_path / "b", "/good", "x", mode=mode, image=image, landlock=landlock)
    assert control.out == "ran\n"


def test_renames_and_links_across_directories_still_work(tmp_path: Path, mode: str) -> None:
    """What keeps the interpreter away does not get in the way of ordinary file work, nor of programs a container brings."""
    script = "mkdir /a /b && echo x > /a/f && mv /a/f /b/f && ln /b/f /a/g && cat /a/g && "
    script += "cat /bin/busybox > /dev/shm/cat && chmod 755 /dev/shm/cat && (echo y | /dev/shm/cat; true) && "
    script += "cat /bin/busybox > /b/cat && chmod 755 /b/cat && echo z | /b/cat"
    ending = run(tmp_path, script, mode=mode)
    assert (ending.out, ending.exit_code) == ("x\nz\n", 0)  # /dev/shm is noexec, as Docker mounts it


def digest_of_interpreter() -> str:
    return hashlib.sha256(Path(sys.executable).resolve().read_bytes()).hexdigest()


def test_no_interpreter_can_be_opened_for_writing(tmp_path: Path, mode: str) -> None:
    """Of every process it can name, a container tries to open the exe for writing; the host's Python stays as it was."""
    before = digest_of_interpreter()
    script = "for pid in /proc/[0-9]*; do (: >> $pid/exe) && echo opened; done; (: >> /proc/self/exe) && echo opened; true"
    assert run(tmp_path, script, mode=mode).out == ""
    assert digest_of_interpreter() == before


@pytest.mark.parametrize("number", range(3, 24))
def test_no_descriptor_is_a_way_out_for_the_workdir(tmp_path: Path, number: int) -> None:
    """WORKDIR /proc/self/fd/N never leads to a directory of the host (CVE-2024-21626)."""
    ending = run(tmp_path, "pwd; ls ..; ls", mode=MODES[0], workdir=f"/proc/self/fd/{number}")
    assert ending.failure or ending.out.startswith("/")
    assert str(tmp_path) not in ending.out and "pyck_magic" not in ending.out and "vmlinuz" not in ending.out


def test_masked_paths_show_nothing(tmp_path: Path, mode: str) -> None:
    """Each path Docker masks that exists outside is an empty directory or an empty file inside, and cannot be uncovered."""
    there = [path for path in preparing.MASKED if os.path.exists(f"/{path}")]
    assert there, "the control: this kernel has some of them"
    script = "".join(
        f"if [ -d /{path} ]; then echo {path}:$(ls -A /{path} | wc -l); else echo {path}:$(head -c 100 /{path} | wc -c); fi\n"
        for path in there
    )
    ending = run(tmp_path, script + "umount /proc/kcore && echo uncovered:1", mode=mode)
    assert {name: count.strip() for name, count in ending.facts.items()} == dict.fromkeys(there, "0")


def test_kernel_settings_are_read_only(tmp_path: Path, mode: str) -> None:
    """Nothing under /proc/sys, /proc/irq, /proc/sysrq-trigger or /sys can be opened for writing, remounted or not."""
    places = [
        "proc/sys/kernel/core_pattern", "proc/sys/kernel/hostname", "proc/sys/vm/drop_caches", "proc/sysrq-trigger",
        "proc/irq/default_smp_affinity", "sys/power/state", "sys/kernel/uevent_helper", "sys/kernel/mm/ksm/run",
    ]  # fmt: skip
    there = [place for place in places if os.path.exists(f"/{place}")]
    before = {
        place: Path(f"/{place}").read_bytes() for place in there if os.access(f"/{place}", os.R_OK) and "trigger" not in place
    }
    script = "".join(f"(: >> /{place}) && echo written:{place}\n" for place in there)
    script += "mount -o remount,rw /proc/sys && echo written:remount; mount -o remount,rw /sys && echo written:remount"
    ending = run(tmp_path, script, mode=mode)
    assert "written" not in ending.out
    assert {place: Path(f"/{place}").read_bytes() for place in before} == before


def test_cgroups_cannot_be_written(tmp_path: Path, mode: str) -> None:
    """/sys/fs/cgroup offers nothing to write to, neither as root nor rootless (CVE-2022-0492, CVE-2023-25809)."""
    script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/escape && echo made:$d; done; true"
    assert "made" not in run(tmp_path, script, mode=mode, network="host").out


def test_devices_are_the_harmless_ones(tmp_path: Path, mode: str) -> None:
    """/dev has Docker's list, and the nodes work."""
    script = "ls /dev; echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; echo x > /dev/full"
    ending = run(tmp_path, script, mode=mode)
    *names, zero, urandom = ending.out.split()
    assert set(names) == {
        "fd", "full", "mqueue", "null", "ptmx", "pts", "pyck", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom",
        "zero",
    }  # fmt: skip
    assert (zero, urandom) == ("3", "3") and "No space left" in ending.err


def test_a_device_that_a_container_makes_cannot_be_opened(tmp_path: Path, mode: str) -> None:
    """Wherever root puts a node for the kernel's log or a disk (root, /dev, shared memory, volume), opening it is refused."""
    volume = tmp_path / "volume"
    volume.mkdir()
    script = ""
    for place in ("", "/dev", "/dev/shm", "/dev/pyck", "/dev/mqueue", "/vol"):
        script += f"mknod {place}/log c 1 11; (: < {place}/log) && echo opened:{place}/log\n"
        script += f"mknod {place}/disk b 7 0; (: < {place}/disk) && echo opened:{place}/disk\n"
    binds = (Bind(source=str(volume), target="/vol"),)
    assert run(tmp_path, script + "true", mode=mode, binds=binds).out == ""
    if os.geteuid() == 0:
        os.mknod(tmp_path / "log", 0o020600, os.makedev(1, 11))
        os.close(os.open(tmp_path / "log", os.O_RDONLY))  # the control: the same node, outside, opens


def test_processes_of_the_host_are_out_of_sight(tmp_path: Path, mode: str) -> None:
    """/proc lists the container's processes alone, and a pid from outside cannot be signalled by number."""
    victim = subprocess.Popen(["sleep", "60"])
    try:
        ending = run(tmp_path, f"echo /proc/[0-9]*; kill -9 {victim.pid} || echo nobody", mode=mode)
        assert victim.poll() is None
        pids = {int(path.rpartition("/")[2]) for path in ending.out.splitlines()[0].split()}
        assert pids == {1, 2}
        assert "nobody" in ending.out or victim.pid in (1, 2)
    finally:
        victim.kill()
        victim.wait()


def test_escapes_by_new_namespaces_and_mounts_are_refused(tmp_path: Path, mode: str) -> None:
    """unshare, mount and a chroot walk do not lead anywhere; outside the same unshare works (the control)."""
    script = "unshare -U echo escaped; unshare -m echo escaped; unshare -n echo escaped; mount -t tmpfs x /bin && echo escaped; "
    script += "mkdir /jail; chroot /jail /bin/sh -c 'echo escaped'; ls /../../../../work /../../home 2>/dev/null; true"
    assert run(tmp_path, script, mode=mode).out == ""
    assert subprocess.run(["unshare", "-U", "true"], check=False).returncode == 0


@pytest.fixture
def canary() -> Iterator[Path]:
    """A directory of the host that a container tries to reach: nothing in it may change."""
    with tempfile.TemporaryDirectory(prefix="canary-") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
@pytest.mark.parametrize("kind", ["link to the host", "link inside", "dangling link", "file", "fifo"])
def test_a_root_whose_dev_proc_or_sys_is_no_directory_is_refused(
    tmp_path: Path, mode: str, name: str, kind: str, canary: Path
) -> None:
    """An image whose /dev, /proc or /sys is a link, a file or a FIFO does not start, and nothing is made where it points."""
    image = make_image(tmp_path / "image")
    (image / "etc/elsewhere").mkdir()
    place = image / name
    match kind:
        case "link to the host":
            place.symlink_to(canary)
        case "link inside":
            place.symlink_to("etc/elsewhere")
        case "dangling link":
            place.symlink_to("/nowhere")
        case "file":
            place.write_text("x")
        case "fifo":
            os.mkfifo(place)
    ending = run(tmp_path, "echo ran", mode=mode, image=image)
    assert ending.failure["step"] == "move_in_dev_proc_sys" and ending.out == ""
    assert f"/{name} is no plain directory" in ending.failure["text"]
    assert os.listdir(canary) == [] and os.listdir(image / "etc/elsewhere") == []


@pytest.mark.parametrize("name", ["hosts", "resolv.conf", "hostname"])
@pytest.mark.parametrize("kind", ["link to the host", "link into proc", "fifo", "directory", "dangling link"])
def test_etc_files_of_an_image_lead_nowhere(tmp_path: Path, mode: str, name: str, kind: str, canary: Path) -> None:
    """Whatever an image puts at /etc/hosts and its like, no file of the host is touched, and nothing hangs."""
    image = make_image(tmp_path / "image")
    target = canary / "file"
    target.write_text("the host's")
    place = image / "etc" / name
    match kind:
        case "link to the host":
            place.symlink_to(target)
        case "link into proc":
            place.symlink_to("/proc/self/environ")
        case "fifo":
            os.mkfifo(place)
        case "directory":
            place.mkdir()
        case "dangling link":
            place.symlink_to("../run/not/there")
    ending = run(tmp_path, f"cat /etc/{name}", mode=mode, image=image, etc=((name, "ours\n"),))
    assert ending.out in ("ours\n", "")
    assert ending.failure or ending.out == "ours\n"
    if kind == "dangling link":
        assert ending.out == "ours\n"
    assert target.read_text() == "the host's" and os.listdir(canary) == ["file"]


@pytest.mark.parametrize("target", ["link", "link/below", "inside-link/below", "/proc/sys", "/proc", "/sys/fs", "loop/x", "up"])
def test_a_volume_lands_inside_whatever_the_image_links(tmp_path: Path, mode: str, target: str, canary: Path) -> None:
    """A volume target that an image has made a link stays inside or is refused (CVE-2021-30465, CVE-2023-27561)."""
    image = make_image(tmp_path / "image")
    (image / "link").symlink_to(canary)
    (image / "inside-link").symlink_to("/etc")
    (image / "loop").symlink_to("loop")
    (image / "up").symlink_to("../../../../../../.." + str(canary))
    source = tmp_path / "source"
    source.mkdir()
    (source / "marker").write_text("volume")
    ending = run(
        tmp_path, "cat */*/marker */marker */*/*/marker 2>/dev/null; true", mode=mode, image=image,
        binds=(Bind(source=str(source), target=f"/{target.lstrip('/')}"),),
    )  # fmt: skip
    assert os.listdir(canary) == [] and not os.path.ismount(canary)
    if target.startswith(("/proc", "/sys", "loop")):
        assert ending.failure["step"] == "bind_volumes"
    assert sorted(os.listdir(source)) == ["marker"]


FLIP = """
import os, sys
place, canary = sys.argv[1:]
os.mkdir(place + ".directory")
os.symlink(canary, place + ".link")
print("flipping", flush=True)
while True:
    for kind in ("directory", "link"):
        os.rename(f"{place}.{kind}", place)
        os.rename(place, f"{place}.{kind}")
"""


def test_a_target_swapped_while_it_is_mounted_leads_nowhere(tmp_path: Path, mode: str, canary: Path) -> None:
    """Somebody swaps a mount target for a link to the host, over and over, while containers start on it (CVE-2021-30465)."""
    image = make_image(tmp_path / "image")
    shared, source = tmp_path / "shared", tmp_path / "source"
    for folder in (shared, source):
        folder.mkdir()
    (source / "marker").write_text("volume")
    flipper = subprocess.Popen([sys.executable, "-c", FLIP, str(shared / "x"), str(canary)], stdout=subprocess.PIPE)
    try:
        assert flipper.stdout is not None and flipper.stdout.readline() == b"flipping\n"
        for number in range(20):
            binds = (Bind(source=str(shared), target="/d"), Bind(source=str(source), target="/d/x"))
            run(tmp_path / str(number), "true", mode=mode, image=image, binds=binds)
            assert os.listdir(canary) == []
    finally:
        flipper.kill()
        flipper.communicate()
    assert str(canary) not in Path("/proc/self/mountinfo").read_text()


def test_setuid_programs_gain_nothing(tmp_path: Path, mode: str) -> None:
    """no_new_privs: a setuid-root file of an image runs as whoever started it."""
    image = make_image(tmp_path / "image")
    shutil.copy(image / "bin/busybox", image / "bin/grep-as-root")
    os.chmod(image / "bin/grep-as-root", 0o4755)
    assert os.stat(image / "bin/grep-as-root").st_mode & stat.S_ISUID
    argv = ("/bin/busybox", "sh", "-c", "exec -a grep /bin/grep-as-root Uid /proc/self/status")
    assert run(tmp_path, *argv, mode=mode, image=image, uid=1000, gid=1000).out.split() == [
        "Uid:",
        "1000",
        "1000",
        "1000",
        "1000",
    ]
