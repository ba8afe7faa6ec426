"""A bench on a simulated hypervisor: test clones without processes, seen as the hypervisor describes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from harness.contract import Contract, Guest, Mac, Scratch, Template, VmId
from harness.errors import Unreachable
from harness.journal import journal_of
from harness.observed import ObservedGuest
from harness.pve import read
from harness.pve.agent import AgentNic, AgentSilent
from harness.remote.known_hosts import HostKey
from harness.templates import AgentLooks, Bench, Outcome, bring, examine
from tests import sites
from tests.simulators import Simulated
from tests.wires import Wire, key_of

BOOTED = 2000
BORN_WITH = {"machine-id": 500, "ssh_host_ed25519_key": 500}
MADE_NEW = {"machine-id": 2001, "ssh_host_ed25519_key": 2002}


def said_by(identity: dict[str, int]) -> str:
    keys = "".join(f"mgmt-harness host-key={name} {at}\n" for name, at in identity.items() if name != "machine-id")
    system = f"mgmt-harness booted={BOOTED}\nmgmt-harness machine-id={identity['machine-id']}\n"
    return f"{system}{keys}mgmt-harness facts=whole\n"


@dataclass
class BenchWorld:
    """`identity` is what clones were born with; the rest is what is wrong with them."""

    simulated: Simulated
    contract: Contract
    identity: dict[str, int] = field(default_factory=lambda: dict(BORN_WITH))
    agent_answers: bool = True
    agent_runs: bool = True
    address: str | None = None  # None: the reserved one
    sshd_answers: bool = True
    login_works: bool = True
    said: list[str] = field(default_factory=list)
    asked_ready: list[set[str]] = field(default_factory=list)
    on_look: Callable[[], None] = lambda: None  # called while the clone runs

    @property
    def template(self) -> Template:
        return self.contract.hypervisor.templates["debian"]

    def declare(self, **changes: Any) -> None:
        one = replace(self.template, **changes)
        hypervisor = replace(self.contract.hypervisor, templates={"debian": one})
        self.contract = replace(self.contract, hypervisor=hypervisor)

    def bench(self) -> Bench:
        reader, writer = self.simulated.reader(), self.simulated.writer()
        wire = Wire(self.simulated.folder / "identities", reader, self.contract.state_dir / "known_hosts")
        looks = replace(
            wire.looks(), banner=self._banner, host_keys=self._host_keys, run_by_ssh=self._run_by_ssh, lease=None
        )
        agent = AgentLooks(nics=self._nics, run=self._run_by_agent)
        return Bench(self.contract, writer, reader, looks, agent, journal_of(self.contract), self.said.append)

    def examine(self) -> Outcome:
        return examine(self.bench(), self.template, ready=lambda names: self.asked_ready.append(set(names)))

    def bring(self) -> Outcome:
        return bring(self.bench(), self.template, ready=lambda names: self.asked_ready.append(set(names)))

    def vm(self, vmid: int) -> ObservedGuest | None:
        return read.read_guest(self.simulated.reader(), "hv01", vmid)

    def notes(self, vmid: int = 9000) -> str:
        vm = self.vm(vmid)
        assert vm is not None
        return vm.description

    def _running(self, vmid: int) -> ObservedGuest | None:
        self.on_look()
        vm = self.vm(vmid)
        return vm if vm is not None and vm.status == "running" else None

    def _nics(self, vmid: int) -> tuple[AgentNic, ...]:
        vm = self._running(vmid)
        if vm is None or not self.agent_answers:
            words = "QEMU guest agent is not running"
            raise AgentSilent(tried="ask", on=f"VM {vmid}", happened=words, do="wait")
        scratch = self.contract.scratch
        assert scratch is not None
        address = self.address or str(scratch.nic.address)
        return (AgentNic("eth0", vm.nics["net0"].mac, (address,)),)

    def _run_by_agent(self, vmid: int, _: str) -> str:
        if not self.agent_answers or not self.agent_runs:
            raise AgentSilent(tried="run", on=f"VM {vmid}", happened="guest-exec has been disabled", do="use SSH")
        return said_by(self.identity)

    def _banner(self, guest: Guest) -> str:
        if self._running(guest.vmid) is None or not self.sshd_answers:
            raise Unreachable(tried="read the SSH banner", on=guest.name, happened="no route to host", do="wait")
        return "SSH-2.0-OpenSSH_9.2p1 Debian-2"

    def _host_keys(self, guest: Guest, _: Set[str] = frozenset()) -> frozenset[HostKey]:
        self._banner(guest)
        return frozenset({key_of("template")})

    def _run_by_ssh(self, guest: Guest, keys: frozenset[HostKey], _: str) -> str:
        assert keys == self._host_keys(guest)
        if not self.login_works:
            raise Unreachable(tried="log in", on=guest.name, happened="Permission denied (publickey)", do="look")
        return said_by(self.identity)


def world_of(simulated: Simulated, guests: Sequence[Guest] = ()) -> BenchWorld:
    nic = replace(sites.nic(19), mac=Mac("02:de:99:00:fe:01"))
    plain = simulated.contract(*guests, deadline_s=1.0)
    return BenchWorld(simulated, replace(plain, scratch_vmid=VmId(199), scratch=Scratch("scratch-vm01", nic)))
