"""One site, typed: its hosts, segments and settings, with the line of every value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract import Declared, Mac, Segment
from harness.identity import Namespace, parse_mac
from harness.inventory import models
from harness.inventory.fields import Unsound
from harness.inventory.merge import Variable
from harness.inventory.problems import KeyPath
from harness.inventory.workload_models import Workload

if TYPE_CHECKING:
    from harness.inventory.nested_models import Nested

MANAGEMENT_GROUP = "management_vms"
UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Claim:
    """What an interface says of itself, as it is written: read for every host, ours or not."""

    key: str
    mac: Any
    ip: Any
    reserved: bool  # it wants a DHCP reservation
    named: bool  # it wants an A record
    cnames: Mapping[int, str]  # by place in the list


@dataclass(frozen=True)
class Host:
    """A host; `ours` tells whether this tool answers for it."""

    name: str
    fqdn: str
    groups: tuple[str, ...]
    entries: Mapping[str, Declared]
    declared: Declared
    variables: Mapping[str, Variable]
    ours: bool
    claims: tuple[Claim, ...]
    infrastructure: models.Infrastructure
    env: models.Env
    vm: models.Vm | None
    hypervisor: models.Hypervisor | None
    router: models.Router | None

    def at(self, *path: str | int) -> Declared:
        """Where a value of this host stands; a VM's value may stand in the defaults."""
        name, *rest = path
        if name == "mgmt_vm" and name in self.variables:
            return vm_variable(self.variables, tuple(rest)).at(tuple(rest))
        variable = self.variables.get(str(name))
        return variable.at(tuple(rest)) if variable else self.declared

    def written(self, path: KeyPath) -> KeyPath:
        """The path as it is written: a VM's value that stands in the defaults has another name there."""
        if path[0] != "mgmt_vm" or vm_variable(self.variables, path[1:]) is self.variables["mgmt_vm"]:
            return path
        return ("mgmt_vm_defaults", *path[1:])


@dataclass(frozen=True)
class WaiverEntry:
    waiver: models.Waiver
    declared: Declared


@dataclass(frozen=True)
class Inventory:
    """A site as its folder describes it. Of the segments, None is one whose own description is wrong."""

    site: str
    folder: Path
    root_domain: str | None
    substrate: str | None
    settings: models.Site
    namespace: models.MacNamespace
    waivers: tuple[WaiverEntry, ...]
    workloads: Mapping[str, Workload]  # by responsibility
    declared_segments: Mapping[str, Segment | None] | None
    hosts: Mapping[str, Host]
    variables: Mapping[str, Variable]
    anchor: Declared
    is_ours: bool
    whole: bool  # False while a file could not be read, so that sums and references would be wrong
    nested: Nested | None = None

    @property
    def domain(self) -> str:
        if self.root_domain is None or self.substrate is None:
            raise Unsound("domain")
        return f"{self.substrate}.{self.root_domain}"

    @property
    def guests(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.vm is not None]

    @property
    def mac_namespace(self) -> Namespace:
        said = self.namespace
        return Namespace(said.prefix, said.environment, said.roles, said.groups)

    @property
    def macs(self) -> list[str]:
        """Every MAC of the site, ours or not."""
        return [claim.mac for host in self.hosts.values() for claim in host.claims if isinstance(claim.mac, str)]

    def at(self, *path: str | int) -> Declared:
        """Where a value of the whole site stands."""
        name, *rest = path
        variable = self.variables.get(str(name))
        return variable.at(tuple(rest)) if variable else self.anchor

    @property
    def segments(self) -> Mapping[str, Segment | None]:
        if self.declared_segments is None:
            raise Unsound("segments")
        return self.declared_segments

    @property
    def sound_segments(self) -> dict[str, Segment]:
        return {name: segment for name, segment in (self.declared_segments or {}).items() if segment is not None}

    def segment(self, name: str) -> Segment:
        """KeyError when nobody declares it; Unsound when its own description is wrong."""
        if (segment := self.segments[name]) is None:
            raise Unsound(name)
        return segment


def vm_variable(variables: Mapping[str, Variable], path: KeyPath) -> Variable:
    """Which of mgmt_vm and mgmt_vm_defaults says the value at `path` of a VM."""
    own, defaults = variables["mgmt_vm"], variables.get("mgmt_vm_defaults")
    if path and defaults is not None and path[0] in _mapping(defaults.value) and path[0] not in _mapping(own.value):
        return defaults
    return own


def parse_address(value: Any) -> IPv4Address | None:
    """The address of an interface; None for dhcp, nothing, an expression and whatever else is no IPv4 address."""
    try:
        return IPv4Address(value) if isinstance(value, str) else None
    except AddressValueError:
        return None


def normal_mac(value: Any) -> Mac | None:
    """A MAC in the one notation, for comparing also those that are written otherwise; None for what is no MAC."""
    try:
        return parse_mac(value.lower().replace("-", ":")) if isinstance(value, str) else None
    except ValueError:
        return None


def read_claims(variables: Mapping[str, Variable]) -> Iterator[Claim]:
    hardware, bound = _interfaces(variables, "infrastructure"), _interfaces(variables, "env")
    for key in dict.fromkeys((*hardware, *bound)):
        interface = _mapping(bound.get(key))
        dns = _mapping(interface.get("dns"))
        cnames = dns.get("cnames")
        yield Claim(
            key=str(key),
            mac=_mapping(hardware.get(key)).get("mac"),
            ip=interface.get("ip"),
            reserved=dns.get("dhcp_reservation") is True,
            named=dns.get("host_a_record") is True,
            cnames={
                place: cname
                for place, cname in enumerate(cnames if isinstance(cnames, list) else [])
                if isinstance(cname, str) and "{{" not in cname
            },
        )


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _interfaces(variables: Mapping[str, Variable], name: str) -> dict[Any, Any]:
    return _mapping(_mapping(variables[name].value).get("interfaces")) if name in variables else {}
