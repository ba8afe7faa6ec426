"""The image a nested site's template is made of: built of Debian's packages, booted as Proxmox VE would boot it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from harness import lab, nested
from harness.nested import ImageSpec
from harness.plan.fitness import judge_facts
from harness.remote.personalise import parse_outcome, render_script
from harness.templates.proving import SCRIPT, parse_facts
from harness.wait import wait_until
from tests.nested.conftest import Lines
from tests.nested.standin.image import CACHE

MAC = "02:de:98:00:fe:01"
BOOT_S = 400.0  # emulated
USER = "a_autoprov"


@dataclass(frozen=True)
class Booted:
    """A machine that runs from an overlay on the image, with QEMU's own small network around it."""

    folder: Path
    key: Path
    port: int

    def agent(self, command: str, **arguments: object) -> Any:
        """What the guest agent returns; OSError while nobody answers."""
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(5)
            channel.connect(str(self.folder / "agent.sock"))
            answers = channel.makefile("r")
            for request in (
                {"execute": "guest-sync", "arguments": {"id": os.getpid()}},
                {"execute": command, "arguments": arguments},
            ):
                channel.sendall(f"{json.dumps(request)}\n".encode())
            while _answer(answers).get("return") != os.getpid():
                pass  # what an earlier question was still owed
            answer = _answer(answers)
            if "return" not in answer:
                raise OSError(f"{command}: {answer}")
            return answer["return"]

    def ssh(self, command: str, script: str = "") -> str:
        """As the user of the image, to the host whose key the agent tells."""
        known = self.folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.port} {self._read('/etc/ssh/ssh_host_ed25519_key.pub')}")
        argv = ["ssh", "-i", str(self.key), "-p", str(self.port), "-oBatchMode=yes", "-oConnectTimeout=20"]
        argv += ["-oStrictHostKeyChecking=yes", f"-oUserKnownHostsFile={known}", "-oHostKeyAlgorithms=ssh-ed25519"]
        done = subprocess.run(
            [*argv, f"{USER}@127.0.0.1", command], input=script, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise OSError(done.stderr)
        return done.stdout.strip()

    def _read(self, path: str) -> str:
        handle = self.agent("guest-file-open", path=path, mode="r")
        content = self.agent("guest-file-read", handle=handle)["buf-b64"]
        self.agent("guest-file-close", handle=handle)
        return base64.b64decode(content).decode()


def _answer(answers: IO[str]) -> dict[str, Any]:
    line = answers.readline()
    if not line:
        raise OSError("the agent's channel was closed")
    answer: dict[str, Any] = json.loads(line)
    return answer


@pytest.fixture(scope="module")
def spec() -> ImageSpec:
    if os.geteuid() != 0:
        pytest.skip("the image is built by root: it is a whole system")
    if lacking := [*nested.missing_image_packages(), *nested.missing_packages()]:
        pytest.skip(f"not installed: apt-get install -y --no-install-recommends {' '.join(lacking)}")
    folder = CACHE / "image"
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    return ImageSpec(
        file=folder / "image.qcow2",
        checksum_file=folder / "image.qcow2.sha256",
        user=USER,
        public_key=key.with_suffix(".pub").read_text().strip(),
        sources=tuple(lab.debian_sources()),
        disk_gib=3,
    )


@pytest.fixture(scope="module")
def built(spec: ImageSpec) -> ImageSpec:
    nested.build_image(spec, Lines())
    return spec


@pytest.fixture(scope="module")
def booted(built: ImageSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    folder = tmp_path_factory.mktemp("booted")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    machine = Booted(folder, CACHE / "image/key", port)
    with _machine(built.file, machine):

        def look() -> tuple[bool | None, str]:
            try:
                return machine.ssh("systemctl is-system-running --wait") == "running" or None, "not yet running"
            except OSError as error:
                return None, str(error)

        waited = wait_until(look, deadline_s=BOOT_S)
        console = (folder / "serial.log").read_text(errors="replace")
        assert waited.value, f"{waited.last_seen}\n{console[-2000:]}"
        yield machine


@contextmanager
def _machine(image: Path, machine: Booted) -> Iterator[None]:
    """The virtual hardware that PVE gives a VM with an agent and a disk on virtio SCSI."""
    folder = machine.folder
    overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(image), str(folder / "disk.qcow2")]
    subprocess.run(overlay, check=True)
    argv = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-vga", "std", "-machine", "pc"]
    argv += ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512"]
    argv += ["-serial", f"file:{folder}/serial.log", "-device", "virtio-scsi-pci"]
    argv += ["-drive", f"if=none,id=disk,format=qcow2,cache=unsafe,file={folder}/disk.qcow2"]
    argv += ["-device", "scsi-hd,drive=disk"]
    argv += ["-netdev", f"user,id=lan,restrict=on,hostfwd=tcp:127.0.0.1:{machine.port}-:22"]
    argv += ["-device", f"virtio-net-pci,netdev=lan,mac={MAC},romfile=", "-device", "virtio-serial-pci"]
    argv += ["-chardev", f"socket,id=agent,path={folder}/agent.sock,server=on,wait=off"]
    argv += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
    with (folder / "qemu.log").open("w") as log:
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *argv], stdout=log, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder)


def test_checksum_is_the_files_and_a_second_build_changes_nothing(built: ImageSpec) -> None:
    with built.file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    assert built.checksum_file.read_text() == f"{digest}  image.qcow2\n"
    before, lines = built.file.stat().st_mtime_ns, Lines()
    nested.build_image(built, lines)
    assert built.file.stat().st_mtime_ns == before
    assert lines.said == [f"The template's image is there: {built.file}"]
    assert not list(built.file.parent.glob("*.unfinished"))


def test_agent_answers_and_the_nic_has_what_dhcp_gave_it(booted: Booted) -> None:
    nics = booted.agent("guest-network-get-interfaces")
    [nic] = [nic for nic in nics if nic["hardware-address"] == MAC]
    assert [found["ip-address"] for found in nic["ip-addresses"] if found["ip-address-type"] == "ipv4"] == ["10.0.2.15"]


def test_passes_the_fitness_test_of_templates(booted: Booted) -> None:
    facts = parse_facts(booted.ssh("sudo -n sh -s", SCRIPT.read_text()))
    assert set(facts.host_keys_at) >= {"ssh_host_ed25519_key"}
    assert facts.machine_id_at is not None
    assert [finding for finding in judge_facts(facts) if not finding.ok] == []


def test_offers_ssh_and_nothing_else(booted: Booted) -> None:
    listening = [line.split()[4] for line in booted.ssh("ss -Htuln").splitlines()]
    outside = {at for at in listening if not at.startswith(("127.", "[::1]", "10.0.2.15%"))}
    assert outside == {"0.0.0.0:22", "[::]:22"}
    assert booted.ssh("cat /proc/sys/net/ipv4/ip_forward") == "0"


def test_becomes_itself_once(booted: Booted) -> None:
    before = booted.ssh("cat /etc/machine-id")
    script = render_script(hostname="metrics-vm01", fqdn="metrics-vm01.nested.deevnet.net")
    first = parse_outcome(booted.ssh("sudo -n sh -s", script))
    assert first.changed >= {"hostname", "machine-id", "host-keys"}
    assert first.machine_id != before
    assert booted.ssh("hostname --fqdn") == "metrics-vm01.nested.deevnet.net"
    again = parse_outcome(booted.ssh("sudo -n sh -s", script))
    assert (again.changed, again.machine_id, again.host_keys) == (frozenset(), first.machine_id, first.host_keys)
