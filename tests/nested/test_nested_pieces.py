"""What a nested machine is made of, piece by piece: key, command line, console, room, and its way to tell."""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path

import pytest

from harness.contract import Iso, Mac, NestedMachine
from harness.errors import HarnessError, Missing, Unreachable
from harness.evidence import Secret
from harness.nested import NestedSpec, accelerator, golden_key, qemu, room
from harness.nested.golden import read_installed
from harness.nested.qmp import Qmp
from harness.nested.receive import receive
from harness.nested.serial import SerialLog

MACHINE = NestedMachine("bios", 1024, 2, 8, Mac("02:de:98:00:02:01"))
SPEC = NestedSpec(
    site="nested",
    iso=Iso(Path("/a.iso"), None, "ab" * 32),
    machine=MACHINE,
    answer={"global": {"fqdn": "hv01.x.lan"}},
    password=Secret("correct horse"),
    public_key="ssh-ed25519 AAAA",
    cache=Path("/cache"),
)
EMULATED = accelerator.Accelerator("tcg", "no KVM", 6.0)


@pytest.mark.parametrize(
    "change",
    [
        {"iso": Iso(Path("/a.iso"), None, "cd" * 32)},
        {"machine": dataclasses.replace(MACHINE, disk_gib=9)},
        {"machine": dataclasses.replace(MACHINE, firmware="uefi")},
        {"machine": dataclasses.replace(MACHINE, mac=Mac("02:de:98:00:02:02"))},
        {"answer": {"global": {"fqdn": "hv02.x.lan"}}},
        {"password": Secret("another one")},
        {"public_key": "ssh-ed25519 BBBB"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_input_is_another_disk(change: dict[str, object]) -> None:
    assert golden_key(dataclasses.replace(SPEC, **change)) != golden_key(SPEC)  # type: ignore[arg-type]


def test_where_the_iso_comes_from_is_all_the_same() -> None:
    elsewhere = dataclasses.replace(SPEC, iso=Iso(None, "http://x/a.iso", "ab" * 32), cache=Path("/other"))
    assert golden_key(elsewhere) == golden_key(SPEC)


def test_the_installed_machine_has_its_nic_and_disk_where_the_installer_found_them() -> None:
    def places(argv: list[str]) -> list[str]:
        return [argument for argument in argv if argument.startswith(("virtio-blk", "virtio-net"))]

    kinds: dict[str, Path | None] = {"disk": Path("/d"), "serial": Path("/s")}
    installing = qemu.argv(MACHINE, EMULATED, **kinds, netdev="user", medium=Path("/m"))  # type: ignore[arg-type]
    running = qemu.argv(MACHINE, EMULATED, **kinds, netdev="tap")  # type: ignore[arg-type]
    assert places(installing) == places(running)
    assert all("addr=" in place for place in places(running))
    assert any("mac=02:de:98:00:02:01" in place for place in places(running))


def test_a_comma_in_a_path_is_no_option() -> None:
    assert qemu.quoted(Path("/a,b/disk")) == "/a,,b/disk"


@pytest.mark.parametrize(
    ("flags", "device", "why"),
    [
        ("flags\t\t: fpu vmx", True, None),
        ("flags\t\t: fpu svm sse", True, None),
        ("flags\t\t: fpu sse vmxnet", True, "no vmx or svm flag"),
        ("flags\t\t: fpu vmx", False, "No such file"),
    ],
)
def test_kvm_needs_the_flag_and_a_device_that_opens(tmp_path: Path, flags: str, device: bool, why: str | None) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n")
    if device:
        (tmp_path / "kvm").touch()
    chosen = accelerator.choose(tmp_path / "cpuinfo", tmp_path / "kvm")
    assert chosen.name == ("kvm" if why is None else "tcg")
    assert (chosen.why_not is None) == (why is None)
    assert why is None or why in (chosen.warning or "")
    assert chosen.patience == (1.0 if why is None else accelerator.EMULATED_PATIENCE)


def test_with_kvm_the_processor_is_the_hosts_own() -> None:
    fast = accelerator.Accelerator("kvm", None, 1.0)
    argv = qemu.argv(MACHINE, fast, disk=Path("/d"), serial=Path("/s"), netdev="user")
    assert argv[argv.index("-cpu") + 1] == "host"


def test_the_console_is_read_line_by_line(tmp_path: Path) -> None:
    log = SerialLog(tmp_path / "serial.log")
    assert log.read() == []
    with log.path.open("ab") as file:
        for part, lines in ((b"one\ntw", ["one"]), (b"", []), (b"o\r\n\nthree", ["two"]), (b"\n", ["three"])):
            file.write(part)
            file.flush()
            assert log.read() == lines


def test_refuses_a_machine_that_is_larger_than_this_one(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:        2000000 kB\nMemAvailable:    1048576 kB\n")
    room.require_memory(MACHINE, tried="x", meminfo=meminfo)
    with pytest.raises(Missing, match="takes 1025 MiB of memory, and 1024 MiB are available"):
        room.require_memory(dataclasses.replace(MACHINE, memory_mib=1025), tried="x", meminfo=meminfo)


def test_refuses_a_folder_without_room(tmp_path: Path) -> None:
    room.require_disk(tmp_path, {"the medium": 1}, tried="x")
    with pytest.raises(Missing, match=r"MiB are free, \d+ MiB are needed: .*MiB for the medium"):
        room.require_disk(tmp_path, {"the medium": 1 << 60}, tried="x")


def said_to(request: bytes, file: Path) -> bytes:
    response = io.BytesIO()
    receive(io.BytesIO(request), response, file)
    return response.getvalue()


def test_takes_what_the_installer_tells(tmp_path: Path) -> None:
    file = tmp_path / "installed.json"
    answer = said_to(b"POST /installed HTTP/1.1\r\nHost: x\r\ncontent-length: 4\r\n\r\n{}\n\n", file)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert file.read_bytes() == b"{}\n\n"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\n\r\n{}", b"HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}", b"HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n{}", b"HTTP/1.1 400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}", b""),
        (b"", b"HTTP/1.1 400"),
    ],
)
def test_takes_nothing_else(tmp_path: Path, request_: bytes, answer: bytes) -> None:
    assert said_to(request_, tmp_path / "installed.json").startswith(answer)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"fqdn": "x", "product": {"version": "8"}}'])
def test_what_the_installer_told_is_whole_or_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "installed.json").write_text(text)
    with pytest.raises(HarnessError, match="build the disk again"):
        read_installed(tmp_path / "installed.json")


def test_hears_events_between_answers() -> None:
    ours, theirs = os.pipe(), os.pipe()
    os.write(ours[1], b'{"QMP": {}}\r\n{"event": "RESUME"}\r\n{"return": {}}\r\n{"return": {"status": "run')
    qmp = Qmp(ours[0], theirs[1])
    qmp.greet()
    assert [event["event"] for event in qmp.events()] == ["RESUME"]
    os.write(ours[1], b'ning"}}\r\n{"event": "STOP"}\r\n')
    assert qmp.execute("query-status") == {"status": "running"}
    assert [event["event"] for event in qmp.events()] == ["STOP"]
    os.write(ours[1], b'{"error": {"class": "GenericError", "desc": "no such device"}}\r\n')
    with pytest.raises(HarnessError, match="no such device"):
        qmp.execute("device_del", id="x")
    os.close(ours[1])
    with pytest.raises(Unreachable, match="QEMU has ended"):
        qmp.execute("quit")
    assert qmp.ended
    for descriptor in (ours[0], *theirs):
        os.close(descriptor)
