"""What should be true of a site: the inventory, resolved into values that plans and specs compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Literal, NewType

Mac = NewType("Mac", str)  # lowercase, colons
VmId = NewType("VmId", int)  # 100..999999999

Category = Literal["observability", "automation", "access"]
CloneMode = Literal["auto", "linked", "full"]
DrillName = Literal["reboot", "tenant-loss", "router-alone", "restore", "rebuild"]
VyosRelease = Literal["1.4", "1.5"]  # they spell the same thing differently

DEFAULT_SITE = "lab"  # of a command without --site


@dataclass(frozen=True)
class Declared:
    """Where the inventory says it."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class SecretRef:
    """Where a secret is kept, never what it is."""

    kind: Literal["env", "file", "command", "vault"]
    value: str | tuple[str, ...]
    store: tuple[str, ...] | None = None  # of a command: the one that takes a new value on its standard input


@dataclass(frozen=True)
class ApiToken:
    """`id` is user@realm!name."""

    id: str
    secret: SecretRef


@dataclass(frozen=True)
class Api:
    """How to reach PVE's API; exactly one of `ca_file` and `fingerprint` is set."""

    url: str  # https://host:port
    ca_file: Path | None
    fingerprint: str | SecretRef | None  # SHA-256, AA:BB:…; a reference is read when it is needed
    tokens: Mapping[str, ApiToken]  # by purpose: verify, provision


@dataclass(frozen=True)
class Ssh:
    """How to log in to a host; keys only, host keys pinned in `known_hosts`."""

    user: str
    port: int
    identity_file: Path | None
    known_hosts: Path | None
    # Only for the first contact after the installer, and only of the hypervisor.
    host_key_fingerprint: str | SecretRef | None = None  # SHA256:…; a reference is read when it is needed
    password: SecretRef | None = None


@dataclass(frozen=True)
class Segment:
    """A subnet of the site; `pool` is its dynamic range, both ends included."""

    name: str
    vlan_id: int | None
    subnet: IPv4Network
    gateway: IPv4Address
    pool: tuple[IPv4Address, IPv4Address] | None


@dataclass(frozen=True)
class Nic:
    """A guest's NIC as declared: `key` is the inventory's logical name, `slot` PVE's key."""

    key: str  # eth0
    slot: str  # net0
    mac: Mac
    address: IPv4Interface
    segment: Segment
    bridge: str
    model: str  # virtio
    vlan_tag: int | None
    declared: Declared


@dataclass(frozen=True)
class Service:
    """A workload's unit with the ports it listens on and the address that says it is healthy."""

    unit: str
    ports: tuple[int, ...]  # TCP
    health_url: str | None
    udp_ports: tuple[int, ...] = ()
    assumed: str | None = None  # why this is a guess, where nobody has decided yet
    declared: Declared = field(default=Declared(Path(), 0), compare=False, repr=False)

    @property
    def said(self) -> str:
        return f"{self.unit} (assumed: {self.assumed})" if self.assumed else self.unit

    @property
    def listens(self) -> frozenset[str]:
        """Its ports as `tcp 9090`."""
        return frozenset((*(f"tcp {port}" for port in self.ports), *(f"udp {port}" for port in self.udp_ports)))


@dataclass(frozen=True)
class Guest:
    """A management VM."""

    name: str
    fqdn: str
    vmid: VmId
    category: Category
    responsibilities: tuple[str, ...]
    template: str  # key of Hypervisor.templates
    clone: CloneMode
    storage: str | None  # target of a full clone; None: where the template is
    memory_mib: int
    cores: int
    nic: Nic
    cnames: tuple[str, ...]  # fully qualified
    start_order: int
    start_delay_s: int | None
    services: tuple[Service, ...]
    ssh: Ssh
    declared: Declared
    ephemeral_disks: frozenset[str] = frozenset()  # slots besides the template's that a rebuild may destroy


@dataclass(frozen=True)
class Image:
    """A disk image that a template is made of; exactly one of `file` and `url` is set."""

    file: Path | None
    url: str | None  # of the artifact server; the hypervisor fetches it itself
    algorithm: str  # sha256, sha512
    checksum: str  # hexadecimal, lowercase; empty with `checksum_file`, which is read when it is needed
    storage: str  # takes content `import`
    memory_mib: int
    cores: int
    cpu: str
    bridge: str
    checksum_file: Path | None = None  # as sha256sum writes it

    @property
    def source(self) -> str:
        return self.url or str(self.file)

    @property
    def format(self) -> str:
        """What PVE takes it for: its extension."""
        return self.source.rpartition(".")[2]


@dataclass(frozen=True)
class Factory:
    """How the owner's image factory is called: `packer build` of `file` in `folder`."""

    folder: Path
    file: str
    token: ApiToken | None  # handed over in the environment


@dataclass(frozen=True)
class Template:
    """A template the inventory names; looked up by `name`, and by `vmid` where it is fixed."""

    key: str
    name: str
    vmid: VmId | None
    storage: str
    os: str  # fedora
    build_mark: str  # text the image factory puts into the notes
    user: str  # the automation user in the image
    declared: Declared
    image: Image | None = None  # None: it is brought by other means
    factory: Factory | None = None
    max_disk_gib: int = 64  # a virtual disk larger than this is a finding
    accepts: Mapping[str, str] = field(default_factory=dict)  # findings of the fitness test -> why they may be


@dataclass(frozen=True)
class Storage:
    name: str
    type: str
    content: frozenset[str]


@dataclass(frozen=True)
class Bridge:
    name: str
    port: str | None  # the physical NIC
    segments: tuple[str, ...]


@dataclass(frozen=True)
class Packages:
    """Where the hypervisor's packages come from: lines as in sources.list; nothing else stays enabled."""

    repositories: tuple[str, ...]
    key: Path | None  # the public key that signed them, where the line names none


@dataclass(frozen=True)
class BackupJob:
    """The job that backs up the pool; `keep` is PVE's retention without `keep-`."""

    id: str
    storage: str
    schedule: str  # PVE's calendar events
    keep: Mapping[str, int]


@dataclass(frozen=True)
class Hardware:
    """What the machine must be; None where nothing is promised. `pending` is the inventory's own reason."""

    pending: str | None
    memory_mib: int
    disk_gb: int  # decimal gigabytes, as disks are sold
    disk_solid_state: bool
    nic_speed_mbit: int
    nic_model: str | None
    product: str | None
    cpu_model: str | None
    cores: int | None
    threads: int | None


@dataclass(frozen=True)
class Hypervisor:
    """The management hypervisor of the site (PVE's "node")."""

    name: str
    fqdn: str
    node: str
    address: IPv4Address
    api: Api
    ssh: Ssh
    pve_version: str
    debian_release: str
    debian_codename: str
    architecture: str
    hardware: Hardware
    host_reserve_mib: int
    bridges: tuple[Bridge, ...]
    storages: tuple[Storage, ...]
    pool: str | None
    templates: Mapping[str, Template]
    declared: Declared
    packages: Packages | None = None
    time_servers: tuple[str, ...] = ()  # empty: as the installer left it
    backup: BackupJob | None = None
    nested: bool = False
    roles_after: tuple[str, ...] = ()  # Ansible roles of the owner's collections that bootstrap runs after its own


@dataclass(frozen=True)
class RouterApi:
    """How to reach the router's own API; exactly one of `ca_file` and `fingerprint` is set."""

    url: str  # https://host:port
    ca_file: Path | None
    fingerprint: str | SecretRef | None  # SHA-256, AA:BB:…; a reference is read when it is needed
    key: SecretRef
    secret: SecretRef | None  # OPNsense's: its keys come in pairs
    release: VyosRelease | None  # VyOS's; None: the router is asked


@dataclass(frozen=True)
class Scratch:
    """The host that a template's test clone is for a minute: its reservation is on the router like any other."""

    name: str
    nic: Nic


@dataclass(frozen=True)
class Router:
    """The core router, or the bootstrap authority that stands in for it."""

    name: str
    kind: str | None  # dnsmasq, opnsense, vyos; None: not readable by us
    address: IPv4Address
    dns: IPv4Address
    dns_port: int
    ssh: Ssh | None
    declared: Declared
    api: RouterApi | None = None


@dataclass(frozen=True)
class Reservation:
    """A static DHCP mapping; two of them are the same wherever they are declared."""

    mac: Mac
    address: IPv4Address
    name: str
    declared: Declared | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Record:
    """A DNS record; `name` and CNAME targets are fully qualified without the last dot."""

    type: Literal["A", "CNAME"]
    name: str
    target: str
    declared: Declared | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Waiver:
    """A clause that does not apply here, with its reason and its last day.

    `may_hold`: the promise holds on some machines, so a clause that passes does not make the waiver superfluous.
    """

    clause: str
    reason: str
    owner: str
    until: date
    declared: Declared
    may_hold: bool = False


@dataclass(frozen=True)
class AllowedStranger:
    """A VM that is allowed to be on the hypervisor without being ours."""

    vmid: VmId
    reason: str
    until: date
    declared: Declared


@dataclass(frozen=True)
class Iso:
    """The installer's medium; exactly one of `file` and `url` is set."""

    file: Path | None
    url: str | None
    sha256: str  # hexadecimal, lowercase

    @property
    def source(self) -> str:
        return self.url or str(self.file)


@dataclass(frozen=True)
class NestedMachine:
    """The virtual machine that the hypervisor is on a nested site."""

    firmware: Literal["bios", "uefi"]
    memory_mib: int
    cores: int
    disk_gib: int
    mac: Mac


@dataclass(frozen=True)
class Nested:
    """How the hypervisor of a nested site is installed; `answer` is answer.toml without what is secret."""

    iso: Iso
    machine: NestedMachine
    answer: Mapping[str, Mapping[str, Any]]  # table -> key, with underscores
    declared: Declared
    images: Mapping[str, int] = field(default_factory=dict)  # template key -> GiB of the image made for it here


@dataclass(frozen=True)
class Contract:
    """Everything that must be true of one site."""

    site: str
    domain: str  # dvntm.deevnet.net
    status: Literal["active", "pending"]
    authority: Literal["core", "bootstrap"]
    hypervisor: Hypervisor
    router: Router
    tenant_hypervisor: str | None
    tenant_address: IPv4Address | None
    segments: Mapping[str, Segment]
    guests: tuple[Guest, ...]  # in start order
    reservations: tuple[Reservation, ...]
    records: tuple[Record, ...]
    planned: Mapping[str, str]  # responsibility -> reason
    waivers: tuple[Waiver, ...]
    exceptions: tuple[AllowedStranger, ...]
    guest_deadline_s: float
    known_hosts: tuple[Path, ...]  # pinned host keys, committed beside the inventory first
    state_dir: Path  # journal, learned host keys, reports; outside the inventory
    backup_max_age_s: float = 26 * 3600.0
    scratch_vmid: VmId | None = None  # the VMID of VMs that are made for a proof and removed again
    scratch: Scratch | None = None
    drills: frozenset[DrillName] = frozenset()  # those this site allows
    drill_max_age_days: int = 90
    tenant_networks: tuple[IPv4Network, ...] = ()  # subnets that are the tenants' alone
    nested: Nested | None = None  # None: the hypervisor is there already
    site_folder: Path = Path()  # where relative commands and vault files of secret references start

    def invoke(self, command: str) -> str:
        """A command of this tool as it is typed for this site."""
        return f"./invoke {command}" + ("" if self.site == DEFAULT_SITE else f" --site {self.site}")

    def guest(self, name: str) -> Guest:
        """The guest of that name; KeyError when it is not declared."""
        for guest in self.guests:
            if guest.name == name:
                return guest
        raise KeyError(name)
