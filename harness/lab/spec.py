"""What a lab is made of and what a running one tells its clients: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal, get_args

from harness.embedded import RouterKind
from harness.lab.router.seed import Seed

# As the installer leaves it, or as bootstrap does: the short cut for whoever tries what comes after bootstrap.
HypervisorState = Literal["installed", "bootstrapped"]

# How far away the lab is from the machine that runs the tool.
Latency = Literal["none", "lan", "wan"]
# Seconds that every frame takes on its way there, and again on its way back.
DELAY_S: Mapping[Latency, float] = {"none": 0.0, "lan": 0.0005, "wan": 0.02}

# How long PVE's tasks take in the lab: what they take, or at least what they took on a recorded node.
Work = Literal["instant", "recorded"]
WORK: tuple[Work, ...] = get_args(Work)


@dataclass(frozen=True)
class LabMachine:
    """A machine that is there as long as the lab is."""

    name: str
    address: IPv4Address


@dataclass(frozen=True)
class LabTemplate:
    """The template the lab's hypervisor holds; `user` is the automation user in its image."""

    vmid: int
    name: str
    build_mark: str
    user: str


# A network for measurements between devices (RFC 2544): no LAN uses it.
NETWORK = IPv4Network("198.18.99.0/24")
ROUTER = LabMachine("core-rt01", NETWORK[1])
HYPERVISOR = LabMachine("hv01", NETWORK[21])
ROUTER_NIC = "lan0"
TEMPLATE = LabTemplate(9000, "debian-lab-12", "lab-image-1", "a_autoprov")


@dataclass(frozen=True)
class LabSpec:
    """One lab. `dnsmasq` maps file names (relative ones are below /etc/dnsmasq.d) to their content.

    A router with an API starts with `router_seed` instead; what it serves later is its clients' business.
    """

    dnsmasq: Mapping[str, str] = field(default_factory=dict)
    router_kind: RouterKind = "dnsmasq"
    router_seed: Seed | None = None
    site: str = "lab"
    domain: str = "lab.deevnet.net"
    network: IPv4Network = NETWORK
    router: LabMachine = ROUTER
    hypervisor: LabMachine = HYPERVISOR
    tool_address: IPv4Address = NETWORK[254]
    bridge: str = "vmbr0"
    bridge_port: str = "eno1"
    pool: str = "mgmt"
    template: LabTemplate = TEMPLATE
    hypervisor_state: HypervisorState = "installed"
    latency: Latency | None = None  # as it is, where a lab runs; else none
    work: Work | None = None  # as it is, where a lab runs; else instant
    root_key: bool = False  # whether the installer was told to let the lab's key in; bootstrap always does


@dataclass(frozen=True)
class LabToken:
    id: str
    file: str


@dataclass(frozen=True)
class LabApi:
    """How to reach the simulated API."""

    url: str
    ca_file: str
    fingerprint: str
    root_user: str
    root_password_file: str
    tokens: Mapping[str, LabToken]


@dataclass(frozen=True)
class LabSsh:
    """How to log in to the lab's hosts as `user`; guests are entered by the same key as the image's own user."""

    identity_file: str
    known_hosts_files: tuple[str, ...]
    user: str


@dataclass(frozen=True)
class LabDns:
    address: str
    port: int


@dataclass(frozen=True)
class LabRouterApi:
    """How to reach the router's API; VyOS's keys have no secret."""

    url: str
    ca_file: str
    fingerprint: str
    key_file: str
    secret_file: str | None


@dataclass(frozen=True)
class LabRouter:
    """The router: its kind, and its API where it has one."""

    kind: str
    api: LabRouterApi | None


@dataclass(frozen=True)
class LabHost:
    """A machine of the lab; `pid` is its systemd, None when it does not run."""

    name: str
    address: str
    pid: int | None


@dataclass(frozen=True)
class LabGuest:
    """A VM of the simulator; `address` is the one it holds a lease for."""

    vmid: int
    name: str
    mac: str | None
    address: str | None
    status: str


@dataclass(frozen=True)
class LabStatus:
    """Whether a lab is up, and everything a client needs to use it."""

    up: bool
    site: str | None = None
    hypervisor_state: HypervisorState | None = None  # as it was made; what was done to it since then is not told
    latency: Latency | None = None
    work: Work | None = None  # as the simulator has it; None where its hypervisor does not run
    api: LabApi | None = None
    ssh: LabSsh | None = None
    dns: LabDns | None = None
    router: LabRouter | None = None
    hosts: tuple[LabHost, ...] = ()
    guests: tuple[LabGuest, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The same as JSON's own types."""
        return {
            **asdict(self),
            "ssh": self.ssh and {**asdict(self.ssh), "known_hosts_files": list(self.ssh.known_hosts_files)},
            "hosts": [asdict(host) for host in self.hosts],
            "guests": [asdict(guest) for guest in self.guests],
        }
