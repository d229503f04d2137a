"""Package managers where one id is all there is: a real Debian, in a user namespace, as whoever runs the test."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from pyck_magic.model.spec import Bind
from tests.images.build import Images
from tests.kernel.sandbox import Ending, run

INSTALL = r"""
set -e
mkdir -p /p/DEBIAN /p/opt && cd /
printf 'Package: claims\nVersion: 1\nArchitecture: all\nMaintainer: a <a@b.c>\n' > /p/DEBIAN/control
printf 'Description: wants other owners\n' >> /p/DEBIAN/control
printf '#!/bin/sh\nset -e\nchgrp mail /opt/mailer\nchmod 2755 /opt/mailer\nchown man:man /opt/mailer\n' > /p/DEBIAN/postinst
chmod 755 /p/DEBIAN/postinst
echo program > /p/opt/mailer
dpkg-deb --root-owner-group -b /p /claims.deb
dpkg -i /claims.deb
useradd -m tester
su_owner=$(stat -c %u /home/tester)
tar -C / --owner=33 --group=33 -cf /t.tar opt/mailer && tar -C /home -xpf /t.tar
install -o man -g mail -m 644 /opt/mailer /opt/installed
echo "owner:$su_owner"
grep -c ^tester: /etc/passwd
"""


@pytest.fixture(scope="module")
def debian(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of the Debian test image, unpacked by tar as this user can."""
    layout = images.layout
    index = json.loads((layout / "index.json").read_text())
    names = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in index["manifests"]}
    manifest = json.loads(blob(layout, names["debian"]).read_text())
    folder = tmp_path_factory.mktemp("debian")
    for layer in manifest["layers"]:
        options = ("--no-same-owner", "--exclude=./dev/*", "--exclude=dev/*")
        subprocess.run(["tar", "-xzf", blob(layout, layer["digest"]), "-C", folder, *options], check=True)
    return folder


def blob(layout: Path, digest: str) -> Path:
    return layout / "blobs" / digest.replace(":", "/")


def install(tmp_path: Path, debian: Path, *, emulate_root: bool) -> Ending:
    env = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C")
    argv = ("/bin/bash", "-c", INSTALL)
    return run(tmp_path, *argv, mode="userns", image=debian, env=env, emulate_root=emulate_root)


def test_packages_users_and_owners_work_with_one_id(tmp_path: Path, debian: Path) -> None:
    """dpkg with a postinst that gives files away, useradd, tar -p and install -o succeed; every file stays ours."""
    ending = install(tmp_path, debian, emulate_root=True)
    assert ending.exit_code == 0, ending.err
    assert ending.out.endswith("owner:0\n1\n")


def test_without_the_emulation_the_same_fails(tmp_path: Path, debian: Path) -> None:
    """The control: one id cannot give a file away, and dpkg gives up."""
    ending = install(tmp_path, debian, emulate_root=False)
    assert ending.exit_code != 0
    assert "Invalid argument" in ending.err


def test_the_files_of_the_container_are_the_users(tmp_path: Path, debian: Path) -> None:
    """What root in the container writes into a shared directory belongs, outside, to whoever started it."""
    shared = tmp_path / "shared"
    shared.mkdir()
    script = "touch /shared/made && chown 33:33 /shared/made && mkdir /shared/folder"
    ending = run(
        tmp_path, "/bin/bash", "-c", script, mode="userns", image=debian, binds=(Bind(source=str(shared), target="/shared"),)
    )
    assert ending.exit_code == 0, ending.err
    for name in ("made", "folder"):
        assert os.stat(shared / name).st_uid == os.getuid()
