"""All checks of one preflight, against the simulated API and a real sshd: all failures at once, and nothing changed."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from ipaddress import IPv4Address
from pathlib import Path

import dns.message
import dns.rcode
import pytest
from rich.console import Console

from harness.commands.preflight import preflight as command
from harness.commands.preflight import render_preflight, show_preflight
from harness.contract import Contract, Packages, SecretRef, Ssh, Waiver
from harness.errors import Unreachable
from harness.preflight import CHECKS, Check, Finding, Preflight, preflight
from harness.preflight.run import take_preflight
from harness.preflight.view import View, open_view
from harness.remote import known_hosts
from tests import sites
from tests.preflight.values import MANY
from tests.pve.served import make_certificate
from tests.remote.machine import Machine, free_port, started_machine
from tests.simulators import SECRETS, Simulated, simulating

TODAY = date(2026, 11, 1)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with started_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


@pytest.fixture(scope="module")
def pve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    certificate = make_certificate(tmp_path_factory.mktemp("certificate"))
    with simulating(tmp_path_factory.mktemp("pve"), *certificate) as running:
        for name in SECRETS:
            (running.folder / f"{name}.token").chmod(0o600)
        yield running


@pytest.fixture(scope="module")
def dns_port() -> Iterator[int]:
    """A DNS server that answers nobody's question: silence would cost each test its time limit."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel, ThreadPoolExecutor(1) as pool:
        channel.bind(("127.0.0.1", 0))
        port: int = channel.getsockname()[1]
        serving = pool.submit(_refuse, channel)
        yield port
        channel.sendto(b"", ("127.0.0.1", port))
        serving.result()


def _refuse(channel: socket.socket) -> None:
    while True:
        question, asker = channel.recvfrom(512)
        if not question:
            return
        answer = dns.message.make_response(dns.message.from_wire(question))
        answer.set_rcode(dns.rcode.REFUSED)
        channel.sendto(answer.to_wire(), asker)


@pytest.fixture
def contract(pve: Simulated, tmp_path: Path, dns_port: int) -> Contract:
    """The simulated node; nobody answers SSH, and DNS answers nothing."""
    plain = pve.contract(*MANY)
    nowhere = IPv4Address("127.0.0.1")
    ssh = Ssh("root", free_port(), None, tmp_path / "known_hosts")
    colons = ":".join(pve.fingerprint.upper()[at : at + 2] for at in range(0, 64, 2))
    return replace(
        plain,
        known_hosts=(tmp_path / "known_hosts",),
        state_dir=tmp_path / "state",
        hypervisor=replace(
            plain.hypervisor,
            address=nowhere,
            ssh=ssh,
            api=replace(plain.hypervisor.api, fingerprint=colons),
        ),
        router=replace(plain.router, dns=nowhere, dns_port=dns_port),
    )


@pytest.fixture
def reachable(contract: Contract, machine: Machine, tmp_path: Path) -> Contract:
    """The same, with the throw-away machine as the hypervisor's Debian."""
    known_hosts.pin(tmp_path / "known_hosts", "hv01", None, [machine.host_key])
    login = machine.login
    ssh = Ssh("root", login.port, login.identity_file, tmp_path / "known_hosts")
    return replace(contract, hypervisor=replace(contract.hypervisor, ssh=ssh))


def by_state(found: Preflight) -> dict[str, set[str]]:
    return {
        state: {result.id for result in found.results if result.state == state}
        for state in {result.state for result in found.results}
    }


def sentences(found: Preflight, check: str) -> str:
    return " ".join(str(one) for result in found.results if result.id == check for one in result.findings)


def test_every_check_speaks_for_itself(contract: Contract, pve: Simulated) -> None:
    """Nobody answers SSH or DNS; what the API can say is said all the same, and one cause is told once."""
    written = pve.writes()
    silent = replace(contract, router=replace(contract.router, dns_port=free_port()))
    found = preflight(silent, today=TODAY)
    assert [result.id for result in found.results] == [check.id for check in CHECKS]
    states = by_state(found)
    assert {"ssh.host-key", "ssh.login"} <= states["failed"]
    assert {"host.release", "host.packages", "hardware.memory", "dns.hypervisor", "authority"} <= states["unknown"]
    assert {"api.certificate", "api.node", "token.verify", "token.provision", "template"} <= states["ok"]
    assert {result.id for result in found.reasons} == {"ssh.host-key", "ssh.login", "authority", "dhcp.reservations"}
    assert sentences(found, "host.packages") == (
        "not looked at, for the reason that ssh.login gives. Mend ssh.login first."
    )
    assert not found.ready
    assert pve.writes() == written


def test_before_bootstrap_nothing_is_asked_that_bootstrap_makes(contract: Contract, pve: Simulated) -> None:
    asked = sum(pve.calls().values())
    found = preflight(contract, "bootstrap", today=TODAY)
    assert not {result.id for result in found.results} & {"token.verify", "api.certificate", "template"}
    assert sum(pve.calls().values()) == asked


def test_a_host_that_is_no_hypervisor_is_told_by_its_own_words(reachable: Contract) -> None:
    """The machine is a plain Debian with this system's packages, and its name is not the declared one."""
    found = preflight(reachable, "bootstrap", today=TODAY)
    states = by_state(found)
    assert {"ssh.login", "host.packages", "host.space"} <= states["ok"]
    assert "without pve-manager: it is no Proxmox VE host" in sentences(found, "host.release")
    assert "hv01 calls itself clone-of-template" in sentences(found, "host.name")
    assert "root is root on hv01" in sentences(found, "ssh.login")


def test_another_host_key_is_trusted_by_nothing(reachable: Contract, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").unlink()
    found = preflight(reachable, "bootstrap", today=TODAY)
    assert "no host key of hv01 is pinned; it shows " in sentences(found, "ssh.host-key")
    assert {"ssh.host-key", "ssh.login"} <= by_state(found)["failed"]
    assert not (tmp_path / "known_hosts").exists()


def test_the_declared_host_key_is_enough_to_look_and_nothing_is_kept(
    reachable: Contract, machine: Machine, tmp_path: Path
) -> None:
    """Before the first contact nothing is pinned; the fingerprint in the inventory says whom to trust."""
    (tmp_path / "known_hosts").unlink()
    ssh = replace(reachable.hypervisor.ssh, host_key_fingerprint=machine.host_key.fingerprint)
    found = preflight(replace(reachable, hypervisor=replace(reachable.hypervisor, ssh=ssh)), "bootstrap", today=TODAY)
    assert "the host shows the declared one: bootstrap pins it" in sentences(found, "ssh.host-key")
    assert "ssh.login" in by_state(found)["ok"]
    assert not (tmp_path / "known_hosts").exists()
    wrong = replace(ssh, host_key_fingerprint=f"SHA256:{'A' * 43}")
    found = preflight(replace(reachable, hypervisor=replace(reachable.hypervisor, ssh=wrong)), "bootstrap", today=TODAY)
    assert "ssh.login" in by_state(found)["failed"]


def test_what_bootstrap_would_refuse_is_said_in_its_words(reachable: Contract, tmp_path: Path) -> None:
    packages = Packages((f"deb [trusted=yes] file:{tmp_path}/gone ./",), None)
    hypervisor = replace(reachable.hypervisor, packages=packages)
    found = preflight(replace(reachable, hypervisor=hypervisor), "bootstrap", today=TODAY)
    said = sentences(found, "bootstrap.refusals")
    assert "it has no Proxmox VE: pve-manager is not installed" in said
    assert "the declared package repository does not answer" in said
    assert "nothing was changed" not in said


def test_a_host_that_has_only_its_password_yet_is_bootstraps(reachable: Contract, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret of the installer")
    (tmp_path / "password").chmod(0o600)
    password = SecretRef("file", str(tmp_path / "password"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "new-key"], check=True)
    ssh = replace(reachable.hypervisor.ssh, identity_file=tmp_path / "new-key", password=password)
    found = preflight(replace(reachable, hypervisor=replace(reachable.hypervisor, ssh=ssh)), "bootstrap", today=TODAY)
    said = sentences(found, "ssh.login")
    assert "the password is wrong, or passwords are not taken" in said
    assert "secret of the installer" not in said
    assert sentences(found, "host.release").startswith("not looked at, for the reason that ssh.login gives")


def test_a_token_whose_secret_is_gone_is_one_sentence(contract: Contract, pve: Simulated) -> None:
    tokens = dict(contract.hypervisor.api.tokens)
    gone = replace(tokens["verify"], secret=replace(tokens["verify"].secret, value=str(pve.folder / "gone")))
    api = replace(contract.hypervisor.api, tokens={**tokens, "verify": gone})
    found = preflight(replace(contract, hypervisor=replace(contract.hypervisor, api=api)), today=TODAY)
    assert "there is no such file" in sentences(found, "token.verify")
    assert sentences(found, "template").startswith("not looked at, for the reason that token.verify gives")
    assert "token.provision" in by_state(found)["ok"]


def test_another_certificate_than_the_pinned_one_is_named(contract: Contract) -> None:
    api = replace(contract.hypervisor.api, fingerprint=":".join(["AB"] * 32))
    found = preflight(replace(contract, hypervisor=replace(contract.hypervisor, api=api)), today=TODAY)
    assert "pinned is AB:AB" in sentences(found, "api.certificate")
    assert {"api.certificate", "token.verify", "token.provision"} <= by_state(found)["failed"]
    assert found.results[-1].findings[0].because == "token.verify"


def test_a_missing_template_and_a_foreign_vm_are_named(contract: Contract, pve: Simulated) -> None:
    template = replace(sites.TEMPLATE, name="fedora-server-43", vmid=None)
    hypervisor = replace(contract.hypervisor, templates={"debian": template})
    pve.control(op="seed", seed={"vms": [{"vmid": 131, "config": {"name": "web01"}}]}, directory=str(pve.folder))
    try:
        found = preflight(replace(contract, hypervisor=hypervisor), today=TODAY)
    finally:
        pve.root().delete("/nodes/hv01/qemu/131")
    assert "there is no template fedora-server-43 on the hypervisor" in sentences(found, "template")
    assert "131 declared for logs-vm01 is taken by a foreign VM" in sentences(found, "provision.plan")
    assert "fedora-server-43" not in sentences(found, "provision.plan")


# --- how the checks are run ----------------------------------------------------------------------------------------


def short(_: View) -> list[Finding]:
    return [Finding("failed", "the kernel has 8 GiB", "Add memory")]


@pytest.mark.parametrize(("until", "state", "ready"), [("2027-02-15", "waived", True), ("2026-10-31", "failed", False)])
def test_a_waiver_is_shown_and_ends(contract: Contract, until: str, state: str, ready: bool) -> None:
    waiver = Waiver("hardware.memory", "a small machine", "ops", date.fromisoformat(until), sites.HERE)
    check = Check("hardware.memory", "memory", "bootstrap", short, "hardware.memory")
    with open_view(replace(contract, waivers=(waiver,))) as view:
        found = take_preflight(view, "bootstrap", today=TODAY, checks=[check])
    assert (found.results[0].state, found.ready) == (state, ready)
    assert "a small machine" in sentences(found, "hardware.memory")
    assert "the kernel has 8 GiB" in sentences(found, "hardware.memory")


def test_one_cause_is_told_once(contract: Contract) -> None:
    silence = Unreachable(tried="ask", on="hv01", happened="silence", do="Start it")

    def fail(_: View) -> list[Finding]:
        raise silence

    checks = [Check("first", "a", "bootstrap", fail, reaches=True), Check("second", "b", "bootstrap", fail)]
    with open_view(contract) as view:
        found = take_preflight(view, "bootstrap", today=TODAY, checks=checks)
    assert [result.state for result in found.results] == ["failed", "unknown"]
    assert sentences(found, "first") == "Could not ask on hv01: silence. Start it."
    assert "for the reason that first gives" in sentences(found, "second")


# --- what the user sees -------------------------------------------------------------------------------------------


def test_it_prints_each_failure_as_a_sentence_and_the_sum(contract: Contract) -> None:
    out = Console(record=True, width=200, soft_wrap=True)
    found = preflight(contract, "bootstrap", today=TODAY)
    show_preflight(found, out)
    text = out.export_text()
    assert "failed  ssh.login: login, and root\n        Could not log in by SSH on hv01" in text
    assert "unknown host.packages: package system (needs ssh.login)\n" in text
    assert "3 stand in the way: ssh.host-key, ssh.login, dns.hypervisor; 10 more could not be looked at" in text
    assert json.loads(json.dumps(render_preflight(found)))["ready"] is False


def test_the_command_ends_with_2_for_an_unknown_moment(capsys: pytest.CaptureFixture[str]) -> None:
    inventory = Path(__file__).parents[2] / "inventory"
    assert command(inventory, "lab", "lunch", as_json=False) == 2
    assert "Choose one of bootstrap, provision" in capsys.readouterr().err
