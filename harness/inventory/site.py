"""One site, typed: its hosts, segments and settings, with the line of every value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any, TypeVar, cast

from harness.contract import Declared, Mac, Segment
from harness.identity import Namespace, parse_mac
from harness.inventory import models
from harness.inventory.merge import RawHost, RawSite, Variable
from harness.inventory.models import Unsound
from harness.inventory.problems import KeyPath, Problem, error, shown
from harness.inventory.typed import close_to, forbidden_texts, read_model

M = TypeVar("M", bound=models.Model)

MANAGEMENT_GROUP = "management_vms"
_OURS = "mgmt_"
_SITE_KEYS = {"mgmt_site": models.Site, "mgmt_mac_namespace": models.MacNamespace}
_HOST_KEYS = {"mgmt_hypervisor": models.Hypervisor, "mgmt_router": models.Router}
KNOWN_KEYS = {*_SITE_KEYS, *_HOST_KEYS, "mgmt_waivers", "mgmt_vm", "mgmt_vm_defaults"}
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
        if name == "mgmt_vm" and not _has(self.variables.get("mgmt_vm"), rest):
            defaults = self.variables.get("mgmt_vm_defaults")
            if defaults is not None and _has(defaults, rest):
                return defaults.at(tuple(rest))
        variable = self.variables.get(str(name))
        return variable.at(tuple(rest)) if variable else self.declared


@dataclass(frozen=True)
class WaiverEntry:
    waiver: models.Waiver
    declared: Declared


@dataclass(frozen=True)
class Inventory:
    """A site as its folder describes it. `segments` holds None for one whose description is wrong."""

    site: str
    folder: Path
    root_domain: str | None
    substrate: str | None
    settings: models.Site
    namespace: models.MacNamespace
    waivers: tuple[WaiverEntry, ...]
    segments: Mapping[str, Segment | None]
    hosts: Mapping[str, Host]
    variables: Mapping[str, Variable]
    anchor: Declared
    is_ours: bool
    whole: bool  # False while a file could not be read, so that sums and references would be wrong

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

    def segment(self, name: str) -> Segment:
        """KeyError when nobody declares it; Unsound when its own description is wrong."""
        if (segment := self.segments[name]) is None:
            raise Unsound(name)
        return segment


def _has(variable: Variable | None, path: list[str | int]) -> bool:
    return variable is not None and (not path or (isinstance(variable.value, dict) and path[0] in variable.value))


def build(raw: RawSite) -> tuple[Inventory, list[Problem]]:
    """The typed site with the problems of its types; wrong parts of it raise Unsound when they are read."""
    return _Builder(raw).build()


class _Builder:
    def __init__(self, raw: RawSite) -> None:
        self.raw = raw
        self.problems: list[Problem] = []

    def build(self) -> tuple[Inventory, list[Problem]]:
        raw = self.raw
        is_ours = "mgmt_site" in raw.variables
        root_domain = self._text("deevnet_root_domain", needed=is_ours)
        substrate = self._text("deevnet_substrate", needed=is_ours)
        settings = self._site_key("mgmt_site", models.Site)
        namespace = self._site_key("mgmt_mac_namespace", models.MacNamespace)
        domain = f"{substrate}.{root_domain}" if substrate and root_domain else raw.name
        named = _named_hosts(settings)
        whole = not raw.unread and not any(host.unread for host in raw.hosts.values())
        inventory = Inventory(
            site=raw.name,
            folder=raw.folder,
            root_domain=root_domain,
            substrate=substrate,
            settings=settings,
            namespace=namespace,
            waivers=tuple(self._waivers()),
            segments=self._segments() if is_ours else {},
            hosts={name: self._host(host, domain, named, is_ours=is_ours) for name, host in raw.hosts.items()},
            variables=raw.variables,
            anchor=raw.anchor(),
            is_ours=is_ours,
            whole=whole,
        )
        self._report_unknown_keys()
        return inventory, self.problems

    # The site's own keys, in the group `all`.

    def _text(self, name: str, *, needed: bool) -> str | None:
        """A variable of the owner that must be a plain text where the site is ours."""
        variable = self.raw.variables.get(name)
        value = variable.value if variable else None
        if isinstance(value, str) and "{{" not in value:
            return value
        if needed and not self.raw.unread:
            at = variable.at() if variable else self.raw.anchor()
            hint = f"set {name} in group_vars/all"
            self.problems.append(error(at, (name,), found=shown(value), expected="a plain text", hint=hint))
        return None

    def _site_key(self, name: str, model: type[Any]) -> Any:
        variable = self.raw.variables.get(name)
        if variable is None:
            if "mgmt_site" in self.raw.variables and not self.raw.unread:
                hint = "it belongs into group_vars/all"
                self.problems.append(
                    error(self.raw.anchor(), (name,), found="nothing", expected=f"the key {name}", hint=hint)
                )
            return _nothing_sound(model)
        return self._model(model, variable, (name,))

    def _model(self, model: type[Any], variable: Variable, root: KeyPath) -> Any:
        self.problems.extend(forbidden_texts(variable.value, variable.at, root))
        made, problems = read_model(model, variable.value, variable.at, root)
        self.problems.extend(problems)
        return made

    def _waivers(self) -> Iterator[WaiverEntry]:
        variable = self.raw.variables.get("mgmt_waivers")
        if variable is None or variable.value is None:
            return
        if not isinstance(variable.value, list):
            found = shown(variable.value)
            self.problems.append(error(variable.at(), ("mgmt_waivers",), found=found, expected="a list of waivers"))
            return
        for place, value in enumerate(variable.value):
            part = Variable(value, variable.document, (*variable.prefix, place))
            yield WaiverEntry(self._model(models.Waiver, part, ("mgmt_waivers", place)), part.at())

    def _segments(self) -> dict[str, Segment | None]:
        variable = self.raw.variables.get("deevnet_vlans")
        if variable is None or not isinstance(variable.value, dict):
            if not self.raw.unread:
                at = variable.at() if variable else self.raw.anchor()
                found = shown(variable.value if variable else None)
                hint = "set deevnet_vlans in group_vars/all"
                self.problems.append(error(at, ("deevnet_vlans",), found=found, expected="the segments", hint=hint))
            return {}
        read = {str(name): self._segment(str(name), variable) for name in variable.value}
        return {name: segment for name, (segment, is_one) in read.items() if is_one}

    def _segment(self, name: str, vlans: Variable) -> tuple[Segment | None, bool]:
        """The segment, and whether it is one: a VLAN without a subnet (blackhole) is none."""
        root: KeyPath = ("deevnet_vlans", name)
        value = vlans.value[name]
        if isinstance(value, dict) and value.get("subnet") is None:
            return None, False

        def at(path: KeyPath) -> Declared:
            return vlans.at((name, *path))

        vlan, problems = read_model(models.Vlan, value, at, root)
        problems = [problem for problem in problems if problem.severity == "error"] or _range_problems(vlan, at, root)
        self.problems.extend(problems)
        if problems:
            return None, True
        if vlan.subnet is None or vlan.gateway is None:
            return None, False
        first, last = vlan.dhcp_range_start, vlan.dhcp_range_end
        pool = (first, last) if first and last else None
        return Segment(name, vlan.vlan_id, vlan.subnet, vlan.gateway, pool), True

    # Hosts.

    def _host(self, raw: RawHost, domain: str, named: set[str], *, is_ours: bool) -> Host:
        variables = raw.variables
        ours = is_ours and not raw.unread and (raw.name in named or _wears_our_keys(raw))
        infrastructure: Any = models.Infrastructure()
        env: Any = models.Env()
        if ours:
            infrastructure = self._host_key(raw, "infrastructure", models.Infrastructure) or infrastructure
            env = self._host_key(raw, "env", models.Env) or env
        return Host(
            name=raw.name,
            fqdn=f"{raw.name}.{domain}",
            groups=raw.groups,
            entries=raw.entries,
            declared=_home(raw),
            variables=variables,
            ours=ours,
            claims=tuple(_claims(variables)),
            infrastructure=infrastructure,
            env=env,
            vm=self._vm(raw) if ours else None,
            hypervisor=self._host_key(raw, "mgmt_hypervisor", models.Hypervisor) if ours else None,
            router=self._host_key(raw, "mgmt_router", models.Router) if ours else None,
        )

    def _host_key(self, raw: RawHost, name: str, model: type[Any]) -> Any:
        variable = raw.variables.get(name)
        return None if variable is None else self._model(model, variable, (name,))

    def _vm(self, raw: RawHost) -> models.Vm | None:
        own, defaults = raw.variables.get("mgmt_vm"), raw.variables.get("mgmt_vm_defaults")
        if own is None:
            if MANAGEMENT_GROUP in raw.groups:
                hint = f"a host in {MANAGEMENT_GROUP} is a management VM"
                self.problems.append(
                    error(_home(raw), ("mgmt_vm",), found="nothing", expected="the key mgmt_vm", hint=hint)
                )
            return None
        if not isinstance(own.value, dict) or not isinstance(defaults.value if defaults else {}, dict):
            wrong, name = (own, "mgmt_vm") if not isinstance(own.value, dict) else (defaults, "mgmt_vm_defaults")
            assert wrong is not None  # noqa: S101 - a missing default is {} and a mapping
            self.problems.append(error(wrong.at(), (name,), found=shown(wrong.value), expected="a mapping"))
            return _nothing_sound(models.Vm)
        merged = {**(defaults.value if defaults else {}), **own.value}

        def at(path: KeyPath) -> Declared:
            from_defaults = defaults is not None and path and path[0] in defaults.value and path[0] not in own.value
            return defaults.at(path) if defaults and from_defaults else own.at(path)

        self.problems.extend(forbidden_texts(merged, at, ("mgmt_vm",)))
        vm, problems = read_model(models.Vm, merged, at, ("mgmt_vm",))
        self.problems.extend(problems)
        return vm

    def _report_unknown_keys(self) -> None:
        """A variable with our prefix that we do not know: a slip of the pen would otherwise be lost."""
        every = [self.raw.variables, *(host.variables for host in self.raw.hosts.values())]
        for variables in every:
            for name, variable in variables.items():
                if name.startswith(_OURS) and name not in KNOWN_KEYS:
                    known = ", ".join(sorted(KNOWN_KEYS))
                    hint = close_to(name, KNOWN_KEYS)
                    self.problems.append(
                        error(variable.at(), (name,), found="an unknown key", expected=f"one of {known}", hint=hint)
                    )


def _nothing_sound(model: type[M]) -> M:
    made = model.model_construct()
    made.__dict__.clear()
    return cast("M", made)


def _named_hosts(settings: models.Site) -> set[str]:
    said = settings.__dict__
    return {said[key] for key in ("hypervisor", "tenant_hypervisor", "core_router") if said.get(key)}


def _wears_our_keys(raw: RawHost) -> bool:
    return MANAGEMENT_GROUP in raw.groups or any(key in raw.variables for key in ("mgmt_vm", *_HOST_KEYS))


def _home(raw: RawHost) -> Declared:
    """The file that describes the host, else the line that enters it."""
    for name in ("mgmt_vm", "mgmt_hypervisor", "mgmt_router", "env", "infrastructure"):
        if name in raw.variables:
            return raw.variables[name].at()
    return raw.declared


def _claims(variables: Mapping[str, Variable]) -> Iterator[Claim]:
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


def _range_problems(vlan: models.Vlan, at: Any, root: KeyPath) -> list[Problem]:
    """Gateway and pool must lie in the subnet, and the pool must run upwards."""
    subnet = vlan.subnet
    if subnet is None:
        return []
    keys = ("gateway", "dhcp_range_start", "dhcp_range_end")
    said: dict[str, IPv4Address | None] = {key: getattr(vlan, key) for key in keys}
    problems = [
        error(at((key,)), (*root, key), found=shown(str(value)), expected=f"an address in {subnet}")
        for key, value in said.items()
        if value is not None and value not in subnet
    ]
    first, last = said["dhcp_range_start"], said["dhcp_range_end"]
    if not problems and first and last and first > last:
        found = f"a range that ends before it starts ({first} to {last})"
        problems.append(error(at(("dhcp_range_end",)), (*root, "dhcp_range_end"), found=found, expected="start <= end"))
    return problems


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
