"""The keys of the inventory that are ours, and those of the owner that we read, with their types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from harness.contract import Category, CloneMode, DrillName, VyosRelease
from harness.inventory.fields import (
    Address,
    ClauseId,
    Day,
    Fingerprint,
    HexByte,
    HostKeyFingerprint,
    Model,
    Network,
    OwnersModel,
    Port,
    Reason,
    Secret,
    VmId,
    unique,
)
from harness.inventory.workload_models import Service

Slot = Annotated[str, Field(pattern=r"^((scsi|virtio|sata|ide)\d+|unused\d+)$")]

RESPONSIBILITIES = {
    "metrics": "observability",
    "logs": "observability",
    "dashboards": "observability",
    "alerting": "observability",
    "ansible-runner": "automation",
    "image-factory": "automation",
    "bootstrap-coordination": "automation",
    "inventory-validation": "automation",
    "jump-host": "access",
    "out-of-band": "access",
}


class Ssh(Model):
    user: Reason = Field("root", description="the user to log in as")
    port: Port = 22
    identity_file: Reason | None = Field(None, description="the private key; relative to the site folder")
    known_hosts: Reason | None = Field(None, description="the pinned host keys; relative to the site folder")


class HypervisorSsh(Ssh):
    """What only the first contact needs stands here too."""

    host_key_fingerprint: HostKeyFingerprint | None = Field(
        None, description="SHA256:… of one of its host keys, read on its own console, or a reference to it"
    )
    password: Secret | None = Field(
        None, description="a reference to the password the installer was given; for the first contact"
    )


# --- group_vars/all: the site ---------------------------------------------------------------------------------------


class AllowedStranger(Model):
    vmid: VmId
    reason: Reason = Field(description="why this VM may be there")
    until: Day = Field(description="the last day of the exception")


class Site(Model):
    """`mgmt_site`: what the site is and who plays which part."""

    status: Literal["active", "pending"]
    authority: Literal["core", "bootstrap"]
    core_router: str = Field(description="the host that is the core router")
    hypervisor: str = Field(description="the host that is the management hypervisor")
    tenant_hypervisor: str | None = Field(None, description="the host that carries the tenants")
    planned: dict[str, Reason] = Field({}, description="responsibilities that no VM carries yet, with the reason")
    exceptions: list[AllowedStranger] = Field([], description="VMs that may be on the hypervisor without being ours")
    guest_deadline_s: Annotated[float, Field(gt=0)] = 90
    scratch_vmid: VmId | None = Field(None, description="the VMID of VMs that are made for a proof and removed again")
    scratch_host: str | None = Field(
        None, description="the host whose MAC and reservation the test clone of a template gets"
    )
    backup_max_age_h: Annotated[float, Field(gt=0)] = Field(
        26, description="how old a VM's newest backup may be: a night's, and two hours"
    )
    drills: Annotated[list[DrillName], AfterValidator(unique)] = Field(
        [], description="the drills that may be run here; each disturbs the site for a while"
    )
    drill_max_age_days: Annotated[int, Field(gt=0)] = Field(
        90, description="how old the last good drill of each kind may be"
    )
    tenant_segments: Annotated[list[str], AfterValidator(unique)] = Field(
        [],
        description="segments that are the tenants' alone; the drill tenant-loss cuts them off with their hypervisor",
    )


class Waiver(Model):
    clause: ClauseId = Field(description="the id of a clause, such as hardware.memory")
    reason: Reason = Field(description="why the clause does not apply here")
    owner: Reason = Field(description="who answers for the waiver")
    until: Day = Field(description="the last day of the waiver")
    may_hold: bool = Field(
        False,
        description="the promise holds on some machines: a clause that passes is no reason to take the waiver out",
    )


class MacNamespace(Model):
    """`mgmt_mac_namespace`: what the bytes of a management VM's MAC mean: prefix:environment:role:group:index."""

    prefix: Annotated[str, Field(pattern=r"^[0-9a-f]{2}:[0-9a-f]{2}$", description="two bytes, such as 02:de")]
    environment: HexByte
    roles: dict[str, HexByte] = Field(description="the byte of each category")
    groups: dict[str, HexByte] = Field(description="the byte of each service group")


class Vlan(OwnersModel):
    """An entry of the owner's `deevnet_vlans`."""

    vlan_id: Annotated[int, Field(ge=1, le=4094)] | None = None
    subnet: Network | None = None
    gateway: Address | None = None
    dhcp_range_start: Address | None = None
    dhcp_range_end: Address | None = None


# --- The management hypervisor --------------------------------------------------------------------------------------


ApiUrl = Annotated[str, Field(pattern=r"^https://[^/\s:@]+:\d+/?$")]


class Token(Model):
    id: Annotated[str, Field(pattern=r"^[^@!\s]+@[^@!\s]+![A-Za-z][A-Za-z0-9._-]+$")] = Field(
        description="user@realm!name"
    )
    secret: Secret = Field(description="a reference to the token's value: env, file, command or vault")


class Tokens(Model):
    verify: Token = Field(description="the token that can only read")
    provision: Token | None = Field(None, description="the token that may create VMs in the pool")


class Api(Model):
    url: ApiUrl = Field(description="https://name:8006")
    fingerprint: Fingerprint | None = Field(None, description="SHA-256 of the certificate, or a reference to it")
    ca_file: Reason | None = Field(None, description="the CA that signed the certificate")
    tokens: Tokens

    @model_validator(mode="after")
    def _one_anchor(self) -> Api:
        if (self.fingerprint is None) == (self.ca_file is None):
            raise PydanticCustomError("not_one", "exactly one of fingerprint, ca_file")
        return self


class Debian(Model):
    release: Reason = Field(description="Debian's release in quotes, such as '12'")
    codename: Reason
    architecture: Reason


class HardwareNic(Model):
    speed_mbit: Annotated[int, Field(gt=0)]
    model: Reason | None = None


class Cpu(Model):
    model: Reason
    cores: Annotated[int, Field(gt=0)]
    threads: Annotated[int, Field(gt=0)]


class Hardware(Model):
    pending: Reason | None = Field(None, description="why the hardware is not known yet")
    memory_gib: Annotated[int, Field(gt=0)]
    disk_gb: Annotated[int, Field(gt=0)]
    solid_state: bool
    nic: HardwareNic
    product: Reason | None = None
    cpu: Cpu | None = None


class Bridge(Model):
    port: Reason | None = Field(None, description="the physical NIC")
    segments: list[str] = Field(description="the segments that VMs reach through the bridge")


class Storage(Model):
    type: Literal["dir", "lvm", "lvmthin", "zfspool", "btrfs"] = Field(description="a local storage type")
    content: Annotated[
        list[Literal["images", "rootdir", "iso", "vztmpl", "backup", "snippets", "import"]], AfterValidator(unique)
    ]


class Packages(Model):
    repositories: Annotated[
        list[Annotated[str, Field(pattern=r"^deb (\[[^\]\n]+\] )?\S+ \S+( \S+)*$")]],
        Field(min_length=1),
        AfterValidator(unique),
    ] = Field(description="lines as in sources.list; every other repository is switched off")
    key: Reason | None = Field(None, description="the public key file that signed them; relative to the site folder")


class Time(Model):
    servers: Annotated[list[Reason], Field(min_length=1), AfterValidator(unique)] = Field(
        description="NTP servers, by name or address"
    )


Count = Annotated[int, Field(ge=1)]


class Keep(Model):
    last: Count | None = None
    hourly: Count | None = None
    daily: Count | None = None
    weekly: Count | None = None
    monthly: Count | None = None
    yearly: Count | None = None

    @model_validator(mode="after")
    def _some(self) -> Keep:
        if not self.model_dump(exclude_none=True):
            raise PydanticCustomError("not_one", "at least one of last, hourly, daily, weekly, monthly, yearly")
        return self


class BackupJob(Model):
    job: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]+$")] = Field("nightly", description="the job's id")
    storage: str = Field(description="the storage the backups go to")
    schedule: Reason = Field(description="PVE's calendar event, such as '02:00'")
    keep: Keep = Field(description="how many backups stay")


ImageFile = Annotated[str, Field(pattern=r"^\S.*\.(qcow2|raw)$")]
ImageUrl = Annotated[str, Field(pattern=r"^https?://\S+\.(qcow2|raw)$")]
Checksum = Annotated[str, Field(pattern=r"^(sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})$")]

RoleName = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$")]


class Image(Model):
    """What a template is made of, and the VM around it as the image factory defines it."""

    file: ImageFile | None = Field(None, description="the image; relative to the site folder")
    url: ImageUrl | None = Field(None, description="http(s)://… of the artifact server; the hypervisor fetches it")
    checksum: Checksum | None = Field(
        None, description="sha256:… or sha512:… of the image; nothing is imported without it"
    )
    checksum_file: Reason | None = Field(
        None, description="a file of sha256sum or sha512sum that says it instead; relative to the site folder"
    )
    storage: str | None = Field(None, description="a storage that takes `import`; nothing: the only one that does")
    memory_mib: Annotated[int, Field(ge=16)] = 4096
    cores: Annotated[int, Field(ge=1, le=128)] = 4
    cpu: Reason = "host"
    bridge: str | None = Field(None, description="a key of mgmt_hypervisor.bridges; nothing: the first one")

    @model_validator(mode="after")
    def _one_source(self) -> Image:
        if (self.file is None) == (self.url is None):
            raise PydanticCustomError("not_one", "exactly one of file, url")
        if (self.checksum is None) == (self.checksum_file is None):
            raise PydanticCustomError("not_one", "exactly one of checksum, checksum_file")
        if "@" in (self.url or ""):  # judged here, where what is found is not shown
            raise PydanticCustomError("credential", "a url without a user and a password")
        return self


class Factory(Model):
    """The owner's image factory: `packer build` of one file in its folder."""

    folder: Reason = Field(description="the folder packer is started in; relative to the site folder")
    file: Reason = Field(description="the template packer builds, such as fedora-43.pkr.hcl")
    token: Token | None = Field(
        None, description="the API token packer gets in TF_VAR_proxmox_token_id and TF_VAR_proxmox_token_secret"
    )


class Template(Model):
    name: Reason = Field(description="the template's name on the hypervisor")
    vmid: VmId | None = None
    storage: str = Field(description="the storage its disk is on")
    os: Reason
    build_mark: Reason = Field(description="the text that the image factory leaves in the notes")
    user: Reason = Field(description="the automation user in the image")
    image: Image | None = Field(None, description="what template.import makes it of")
    factory: Factory | None = Field(None, description="how template.build has it built")
    max_disk_gib: Annotated[int, Field(ge=1)] = Field(64, description="the largest virtual disk that is no mistake")
    accepts: dict[Literal["machine-id", "host-keys"], Reason] = Field(
        {}, description="findings of the fitness test that are known, with the reason why the template may be used"
    )

    @model_validator(mode="after")
    def _import_needs_vmid(self) -> Template:
        if self.image is not None and self.vmid is None:
            raise PydanticCustomError("no_vmid", "a vmid beside image: an imported template's number is declared")
        return self


class Hypervisor(Model):
    """`mgmt_hypervisor`: the management hypervisor as it must be."""

    node: Reason = Field(description="PVE's own name of the node")
    api: Api
    ssh: HypervisorSsh
    pve_version: Annotated[
        str, Field(pattern=r"^\d+\.\d+\.\d+$", description="PVE's version in quotes, such as '8.4.1'")
    ]
    debian: Debian
    hardware: Hardware
    host_reserve_gib: Annotated[int, Field(ge=0)] = Field(description="memory that stays with the hypervisor")
    bridges: Annotated[dict[str, Bridge], Field(min_length=1)]
    storages: Annotated[dict[str, Storage], Field(min_length=1)]
    pool: Reason | None = None
    templates: Annotated[dict[str, Template], Field(min_length=1)]
    packages: Packages | None = Field(None, description="where the packages come from")
    time: Time | None = Field(None, description="which clocks to follow; nothing: as the installer left it")
    backup: BackupJob | None = Field(None, description="the job that backs up the pool")
    nested: bool = Field(False, description="whether VMs may run VMs")
    roles_after: Annotated[list[RoleName], AfterValidator(unique)] = Field(
        [], description="roles of installed Ansible collections that bootstrap runs after its own"
    )


# --- A management VM ------------------------------------------------------------------------------------------------


class Vm(Model):
    """`mgmt_vm`: a management VM; what stands in `mgmt_vm_defaults` need not be repeated."""

    vmid: VmId = Field(description="fixed, and unique over all sites")
    hypervisor: str = Field(description="the host it runs on")
    category: Category = Field(description="observability, automation or access")
    group: str = Field(description="a service group of mgmt_mac_namespace.groups")
    index: Annotated[int, Field(ge=1, le=255)] = Field(description="the number within its group")
    responsibilities: Annotated[list[str], AfterValidator(unique)] = Field(
        description="what the VM is there for",
        json_schema_extra={"items": {"type": "string", "enum": [*RESPONSIBILITIES]}},
    )
    template: str = Field(description="a key of mgmt_hypervisor.templates")
    bridge: str = Field(description="a key of mgmt_hypervisor.bridges")
    vlan_tag: Annotated[int, Field(ge=1, le=4094)] | None = None
    nic_model: Literal["virtio", "e1000", "e1000e", "vmxnet3", "rtl8139"] = "virtio"
    memory_mib: Annotated[int, Field(ge=16)]
    cores: Annotated[int, Field(ge=1, le=128)]
    start_order: Annotated[int, Field(ge=0)]
    start_delay_s: Annotated[int, Field(ge=0)] | None = None
    clone: CloneMode = "auto"
    storage: str | None = Field(None, description="the storage of a full clone")
    ephemeral_disks: Annotated[list[Slot], AfterValidator(unique)] = Field(
        [], description="disks besides the template's that a rebuild may destroy, such as scsi1"
    )
    services: list[Service] = Field([], description="what it runs besides the workloads of its responsibilities")
    ssh: Ssh


class RouterApi(Model):
    """How to reach the API of OPNsense or VyOS."""

    url: ApiUrl = Field(description="https://name:443")
    fingerprint: Fingerprint | None = Field(None, description="SHA-256 of the certificate, or a reference to it")
    ca_file: Reason | None = Field(None, description="the CA that signed the certificate")
    key: Secret = Field(description="a reference to the API key: env, file, command or vault")
    secret: Secret | None = Field(None, description="opnsense: a reference to the secret of that key")
    release: VyosRelease | None = Field(None, description="vyos: '1.4' or '1.5'; nothing: the router is asked")

    @model_validator(mode="after")
    def _one_anchor(self) -> RouterApi:
        if (self.fingerprint is None) == (self.ca_file is None):
            raise PydanticCustomError("not_one", "exactly one of fingerprint, ca_file")
        return self


class Router(Model):
    """`mgmt_router`: how to read and write the core router."""

    kind: Literal["opnsense", "vyos", "dnsmasq"]
    dns: Address | None = None
    dns_port: Port = 53
    ssh: Ssh | None = None
    api: RouterApi | None = Field(None, description="how to reach the API of opnsense or vyos")

    @model_validator(mode="after")
    def _api_of_its_kind(self) -> Router:
        if self.api is None:
            return self
        if self.kind == "dnsmasq":
            raise PydanticCustomError("no_api", "no api: dnsmasq has none, it is reached by ssh")
        if (self.kind == "opnsense") != (self.api.secret is not None):
            raise PydanticCustomError(
                "no_pair", "api.secret with kind opnsense, whose keys are pairs, and with no other"
            )
        if self.kind == "opnsense" and self.api.release is not None:
            raise PydanticCustomError("no_release", "api.release with kind vyos only")
        return self


# --- The owner's keys -----------------------------------------------------------------------------------------------


class Hardwired(OwnersModel):
    mac: str | None = None


class Infrastructure(OwnersModel):
    """`infrastructure`: what a host is, wherever it stands."""

    form: str | None = None
    interfaces: dict[str, Hardwired] = Field({})


class Dns(OwnersModel):
    host_a_record: bool = False
    dhcp_reservation: bool | None = None
    cnames: list[str] | None = None
    pxe_boot: dict[str, Any] | None = None


class Interface(OwnersModel):
    ip: str | None = None
    prefix: Annotated[int, Field(ge=0, le=32)] | None = None
    purpose: str | None = None
    segment: str | None = None
    gateway: str | None = None
    dns_servers: Any = None
    dns_search: Any = None
    routes: Any = None
    wol: bool | None = None
    ansible: bool = False
    dns: Dns = Dns()


class Env(OwnersModel):
    """`env`: how a host is bound to this site."""

    role: str | None = None
    interfaces: dict[str, Interface] = Field({})
