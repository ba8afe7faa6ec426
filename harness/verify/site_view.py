"""Look at one site, read-only: its hypervisor's API, its hosts over SSH, its router, and the wire."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from testinfra.host import Host

from harness import probe, routers
from harness.contract import Contract, Guest, Service
from harness.errors import HarnessError, Unreachable
from harness.evidence import Evidence, Fact
from harness.journal import journal_of
from harness.observed import (
    ObservedBridge,
    ObservedCluster,
    ObservedDisk,
    ObservedGuest,
    ObservedNode,
    ObservedSite,
    ObservedStorage,
)
from harness.pve import read
from harness.pve.client import Client, require_reader
from harness.remote import ssh
from harness.verify import guest_facts, host_facts, host_setup, segment_facts, wire_looks
from harness.verify.backup_facts import BackupFacts, Job, parse_included, read_jobs
from harness.verify.backup_look import read_backups
from harness.verify.batch import Answers
from harness.verify.certificate import who_vouches
from harness.verify.guest_facts import GuestFacts
from harness.verify.host_facts import HostFacts
from harness.verify.host_setup import HostSetup
from harness.verify.looks import Looks
from harness.verify.memory import Memory
from harness.verify.segment_facts import SegmentFacts
from harness.verify.trips import HOST_TIMEOUT_S, Trips
from harness.verify.wire_looks import recorded

T = TypeVar("T")
PERMISSIONS = "GET /access/permissions"


@dataclass
class SiteView:
    """Every look is taken once; what it read becomes evidence of the check that asks for it."""

    contract: Contract
    looks: Looks
    connect: Callable[[Evidence], Client]  # called at the first question to the API
    given_trips: Trips | None = None  # those of a run that has begun already
    _api_evidence: Evidence = field(default_factory=Evidence)
    _client: Client | None = None
    _dns_failure: Unreachable | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.trips = self.given_trips or Trips(self.contract, self.looks, Memory())

    # --- the API -------------------------------------------------------------------------------------------------

    def node(self) -> ObservedNode:
        return self._api("node", read.read_node, lambda found: [found.source])

    def version(self) -> str:
        return self._api("version", lambda client, _: read.read_version(client), lambda _: ["GET /version"])

    def cluster(self) -> ObservedCluster:
        return self._api("cluster", lambda client, _: read.read_cluster(client), lambda found: found.sources)

    def cluster_options(self) -> dict[str, Any]:
        """Without the privilege PVE leaves most keys out instead of refusing."""
        self._need("/", "Sys.Audit", "read the datacenter's options")
        return dict(self._ask("/cluster/options"))

    def storages(self) -> tuple[ObservedStorage, ...]:
        return self._api("storages", read.read_storages, lambda found: [PERMISSIONS, *(one.source for one in found)])

    def bridges(self) -> tuple[ObservedBridge, ...]:
        return self._api("bridges", read.read_bridges, lambda found: [PERMISSIONS, *(one.source for one in found)])

    def disks(self) -> tuple[ObservedDisk, ...]:
        return self._api("disks", read.read_disks, lambda found: [one.source for one in found])

    def replication_jobs(self) -> tuple[str, ...]:
        """PVE lists only the jobs of VMs the token may see."""
        self._need("/vms", "VM.Audit", "list the replication jobs")
        return self.cluster().replication_jobs

    def storage_servers(self) -> dict[str, str]:
        """The other machine a storage lies on, by the storage's name."""
        self._need("/storage", "Datastore.Audit", "list the storages")
        return {entry["storage"]: str(entry["server"]) for entry in self._ask("/storage") if "server" in entry}

    def site(self) -> ObservedSite:
        """What a plan is made from, out of looks that were taken anyway."""
        declared = frozenset(int(guest.vmid) for guest in self.contract.guests)
        return ObservedSite(
            node=self.node(),
            guests=self.vms(),
            sees_all=True,
            hidden=declared & frozenset(self.containers()),
            storages=self.storages(),
            begun=journal_of(self.contract).begun(),
        )

    def containers(self) -> tuple[int, ...]:
        asked = f"GET /nodes/{self.contract.hypervisor.node}/lxc"
        return self._api("containers", read.read_containers, lambda _: [PERMISSIONS, asked])

    def vms(self) -> tuple[ObservedGuest, ...]:
        """Every VM of the hypervisor, proven complete by the privilege to see all."""
        found = self._all_vms()
        asked = f"GET /nodes/{self.contract.hypervisor.node}/qemu"
        self.looks.note(*self._api_evidence.answers_to(PERMISSIONS, asked))
        return found

    def vm(self, vmid: int) -> ObservedGuest | None:
        """One VM out of the whole list; the evidence is its own configuration, or the list that lacks it."""
        found = next((vm for vm in self._all_vms() if vm.vmid == vmid), None)
        asked = found.source if found is not None else f"GET /nodes/{self.contract.hypervisor.node}/qemu"
        self.looks.note(*self._api_evidence.answers_to(asked))
        return found

    def pools(self) -> list[dict[str, Any]]:
        self._need("/pool", "Pool.Audit", "list the pools")
        return list(self._ask("/pools"))

    def resources(self) -> list[dict[str, Any]]:
        """Every VM with its pool."""
        self._need("/vms", "VM.Audit", "list the VMs")
        return [one for one in self._ask("/cluster/resources") if one["type"] == "qemu"]

    def roles(self) -> list[dict[str, Any]]:
        return list(self._ask("/access/roles"))

    def users(self) -> list[dict[str, Any]]:
        """The users with their tokens, which are names and settings, no secrets."""
        self._need("/access/groups", "Sys.Audit", "list the users")
        return self._api("users", _read_users, lambda _: ["GET /access/users?full=1"])

    def access_list(self) -> list[dict[str, Any]]:
        self._need("/access", "Sys.Audit", "read who may do what")
        return list(self._ask("/access/acl"))

    def backup_jobs(self) -> list[dict[str, Any]]:
        return list(self._ask("/cluster/backup"))

    def jobs(self) -> tuple[Job, ...]:
        """The enabled backup jobs with the VMs and disks they cover, as PVE itself works it out."""
        self._need("/storage", "Datastore.Audit", "read what the storages keep of backups")
        found = read_jobs(self.backup_jobs(), self._ask("/storage"))
        return tuple(
            replace(job, disks=parse_included(self._ask(f"/cluster/backup/{job.id}/included_volumes"))) for job in found
        )

    def backups(self) -> BackupFacts:
        """The archives on every storage that takes backups, and the tasks that made them."""
        takers = [one.name for one in self.storages() if one.enabled and "backup" in one.content]
        return self._api("backups", partial(read_backups, self.contract, takers), lambda found: found.asked)

    def client(self) -> Client:
        """The read-only client; nothing is sent by asking for it."""
        with self._lock:
            if self._client is None:
                self._client = require_reader(self.connect(self._api_evidence))
            return self._client

    # --- hosts over SSH ------------------------------------------------------------------------------------------

    def host(self) -> HostFacts:
        return HostFacts(self.ask_host("", host_facts.COMMANDS))

    def host_setup(self) -> HostSetup:
        """Apart from the facts: a clock that is not in step yet is waited for, and nobody else has to wait with it."""
        return HostSetup(self.ask_host("setup", host_setup.COMMANDS))

    def ask_host(self, key: str, commands: Mapping[str, str], timeout_s: float = HOST_TIMEOUT_S) -> Answers:
        """More questions to the hypervisor's own Debian; out of its one round trip when they were sent ahead."""
        key = f"host {key}".strip()
        look = self.trips.look(self._hypervisor, key, commands, "host", timeout_s)
        return self.looks.fetch(key, look)

    def machine(self, guest: Guest | None = None) -> Host:
        """The guest, or the hypervisor's own Debian, as testinfra sees it."""
        return self.trips.machine(guest.name, "guest") if guest else self.trips.machine(self._hypervisor, "host")

    def segment(self, bridge: str) -> SegmentFacts:
        """What is heard and seen on a bridge of the hypervisor: DHCP servers, and the MACs behind its ports."""
        return SegmentFacts(bridge, self.ask_host(f"segment {bridge}", segment_facts.questions(self.contract, bridge)))

    @property
    def _hypervisor(self) -> str:
        return self.contract.hypervisor.name

    @property
    def bridges_of_guests(self) -> tuple[str, ...]:
        return segment_facts.bridges_of(self.contract)

    def guest(self, guest: Guest) -> GuestFacts:
        key = f"guest {guest.name}"
        return GuestFacts(
            self.looks.fetch(key, self.trips.look(guest.name, key, guest_facts.questions(guest), "guest"))
        )

    def router(self) -> routers.ObservedRouter:
        return self.looks.take("router", self._look_at_router)

    # --- the wire ------------------------------------------------------------------------------------------------

    def addresses_of(self, name: str) -> tuple[IPv4Address, ...]:
        return self._dns(f"A {name}", lambda server, port: probe.resolve_a(name, server, port))

    def names_of(self, address: IPv4Address) -> tuple[str, ...]:
        return self._dns(f"PTR {address}", lambda server, port: probe.resolve_ptr(address, server, port))

    def ssh_banner(self, address: IPv4Address, port: int) -> str | None:
        """What the SSH server at `address` says first; None when nobody answers there, with the reason as evidence."""
        return self.looks.take(f"banner {address}:{port}", lambda evidence: wire_looks.banner(address, port, evidence))

    def answering(self, guest: Guest, service: Service) -> frozenset[str]:
        """Which of the service's TCP ports take a connection from here, as `tcp 9090`."""
        address = guest.nic.address.ip
        return frozenset(f"tcp {port}" for port in service.ports if self._answers(address, port))

    def health(self, guest: Guest, url: str) -> str:
        """How the health address answers; why not, where nobody does. Asked at the VM's own address: its name has
        a clause of its own."""
        named = urlsplit(url).hostname or ""
        own = named in (guest.name, guest.fqdn, *guest.cnames, str(guest.nic.address.ip))
        found = () if own else self.addresses_of(named)
        address = guest.nic.address.ip if own else found[0] if found else None
        if address is None:
            return f"{named} has no address"
        return self.looks.take(f"health {url} {address}", lambda evidence: wire_looks.health(url, address, evidence))

    def _answers(self, address: IPv4Address, port: int) -> bool:
        return self.looks.take(f"port {address}:{port}", lambda evidence: wire_looks.is_open(address, port, evidence))

    def web_certificate(self) -> str:
        """The SHA-256 fingerprint the web interface shows, or who vouches for it when an authority is pinned."""
        api = self.contract.hypervisor.api
        ca_file = api.ca_file

        def look(evidence: Evidence) -> str:
            if ca_file is not None:
                return recorded(evidence, f"who vouches for {api.url}", lambda: who_vouches(api.url, ca_file))
            return recorded(evidence, f"TLS certificate of {api.url}", lambda: probe.tls_fingerprint(api.url))

        return self.looks.take("certificate", look)

    # --- ahead of the checks, and after them ---------------------------------------------------------------------

    def settle(self) -> None:
        """Wait for what was begun ahead."""
        self.looks.settle()

    def count_trips(self) -> tuple[int, int]:
        """API calls and SSH round trips so far."""
        return (self._client.counts.reads if self._client is not None else 0, self.trips.count)

    def list_retries(self) -> tuple[str, ...]:
        """The requests that PVE had to be asked again."""
        return tuple(self._client.counts.retries) if self._client is not None else ()

    def close(self) -> None:
        self.settle()
        self.trips.close()

    # --- how each kind of look is taken --------------------------------------------------------------------------

    def _api(self, key: str, read_it: Callable[[Client, str], T], asked: Callable[[T], Iterable[str]]) -> T:
        """A reader of harness.pve; `asked` names the questions its answer came from."""

        def look(evidence: Evidence) -> T:
            self._require_api()
            found = read_it(self.client(), self.contract.hypervisor.node)
            _copy(self._api_evidence.answers_to(*asked(found)), evidence)
            return found

        return self.looks.take(f"api {key}", look)

    def _all_vms(self) -> tuple[ObservedGuest, ...]:
        declared = frozenset(int(guest.vmid) for guest in self.contract.guests)
        return self._api("vms", partial(read.read_guests, waiting=declared), lambda _: [])

    def _ask(self, path: str) -> Any:
        """A plain GET, for what no reader of harness.pve gives."""
        return self._api(path, lambda client, _: client.get(path), lambda _: [f"GET {path}"])

    def _need(self, path: str, privilege: str, to: str) -> None:
        permissions = self._api("permissions", lambda client, _: read.read_permissions(client), lambda _: [PERMISSIONS])
        permissions.need(path, privilege, to=to)

    def _require_api(self) -> None:
        """One question ahead of all others: where nobody answers it, nobody waits for the rest. Nearly all of them
        need its answer, too."""
        self.looks.fetch("api alive", lambda _: read.read_permissions(self.client()))

    def _look_at_router(self, evidence: Evidence) -> routers.ObservedRouter:
        raw = Evidence()
        shell = self._router_shell(raw) if routers.needs_shell(self.contract) else None
        try:
            found = routers.observe(self.contract, shell=shell, evidence=raw)
        except HarnessError:
            _copy(raw.facts, evidence)
            raise
        name = self.contract.router.name
        held = "\n".join(f"{one.mac} {one.address} {one.name}" for one in found.reservations)
        evidence.record("router", f"reservations of {name} in {', '.join(found.sources)}", held or "none")
        return found

    def _router_shell(self, evidence: Evidence) -> routers.Shell:
        name = ssh.router_login(self.contract).name

        def ask(command: str, *, stdin: str | None = None) -> ssh.Result:
            if stdin is not None:
                raise ValueError("verify writes nothing to a router")
            return self.trips.answer(name, "router", command, evidence)

        return ask

    def opened(self) -> ssh.Connections:
        """The shared connections of this run; nobody is contacted by asking for them."""
        return self.trips.opened()

    def _dns(self, question: str, ask: Callable[[str, int], T]) -> T:
        server, port = str(self.contract.router.dns), self.contract.router.dns_port

        def look(evidence: Evidence) -> T:
            if self._dns_failure is not None:
                raise self._dns_failure
            try:
                return recorded(evidence, f"{question} at {server}", lambda: ask(server, port))
            except Unreachable as failure:
                self._dns_failure = failure
                raise

        return self.looks.take(f"dns {question}", look)

    def wire(self, guest: Guest) -> None:
        """What the checks of `guest` will ask the wire."""
        self.names_of(guest.nic.address.ip)
        for name in (guest.fqdn, *guest.cnames):
            self.addresses_of(name)
        for address in self.addresses_of(guest.fqdn):
            self.ssh_banner(address, guest.ssh.port)

    def service_looks(self, guests: Iterable[Guest]) -> list[Callable[[], object]]:
        pairs = [(guest, service) for guest in guests for service in guest.services]
        ports = [partial(self.answering, guest, service) for guest, service in pairs]
        return [*ports, *(partial(self.health, guest, one.health_url) for guest, one in pairs if one.health_url)]


def _read_users(client: Client, _: str) -> list[dict[str, Any]]:
    return list(client.get("/access/users", {"full": True}))


def _copy(facts: Iterable[Fact], evidence: Evidence) -> None:
    evidence.facts.extend(facts)
