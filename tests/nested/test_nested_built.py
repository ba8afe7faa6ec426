"""The golden disk: installed from a medium that knows nothing of us, kept by the hash of what went in, built once."""

from __future__ import annotations

import json
import subprocess

from harness import nested
from harness.nested import Golden
from tests.nested.conftest import Built, Lines
from tests.nested.running import machines_about


def test_is_an_installed_disk_with_what_the_installer_told(golden: Built) -> None:
    made = golden.golden
    assert made.installed.fqdn == "hv01.nested.deevnet.net"
    assert made.installed.product_version == "8.4.0"
    assert [key.split()[0] for key in made.installed.host_keys] == ["ssh-ed25519"]
    assert "Installation done, powering off..." in made.serial_log.read_text()
    assert made.efivars is None
    assert machines_about(made.folder) == []


def test_stands_alone_and_is_never_written_to(golden: Built) -> None:
    shown = subprocess.run(
        ["qemu-img", "info", "--output=json", str(golden.golden.disk)], check=True, capture_output=True, text=True
    )
    said = json.loads(shown.stdout)
    assert said["virtual-size"] == 8 << 30
    assert said["actual-size"] < 200 << 20
    assert "backing-filename" not in said
    assert golden.golden.disk.stat().st_mode & 0o222 == 0


def test_holds_no_medium_and_no_answer_file_with_a_password(golden: Built) -> None:
    assert {file.name for file in golden.golden.folder.iterdir()} == {
        "disk.qcow2",
        "installed.json",
        "manifest.json",
        "serial.log",
    }
    password = golden.spec.password.reveal().encode()
    small = [file for file in golden.golden.folder.iterdir() if file.suffix != ".qcow2"]
    assert [file.name for file in small if password in file.read_bytes()] == []
    assert list(golden.spec.cache.glob("building/*/*")) == []


def test_is_built_once(golden: Built) -> None:
    lines, before = Lines(), golden.golden.disk.stat().st_mtime_ns
    again = nested.build(golden.spec, lines)
    assert again == golden.golden
    assert again.disk.stat().st_mtime_ns == before
    assert lines.said == [f"The golden disk is there: {again.disk}"]


def test_is_found_by_what_went_in(golden: Built) -> None:
    assert isinstance(nested.find_golden(golden.spec), Golden)
