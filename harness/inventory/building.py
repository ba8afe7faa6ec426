"""Type a merged site: every wrong type is a problem, and every sound value is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, TypeVar, cast

from harness.contract import Declared, Segment
from harness.inventory import models
from harness.inventory.fields import Model
from harness.inventory.merge import RawHost, RawSite, Variable
from harness.inventory.problems import KeyPath, Problem, error, shown
from harness.inventory.site import MANAGEMENT_GROUP, Host, Inventory, WaiverEntry, read_claims, vm_variable
from harness.inventory.typed import close_to, forbidden_texts, read_model
from harness.inventory.workload_models import Workload

if TYPE_CHECKING:
    from harness.inventory.nested_models import Nested

M = TypeVar("M", bound=Model)

_OURS = "mgmt_"
_SITE_KEYS = {"mgmt_site": models.Site, "mgmt_mac_namespace": models.MacNamespace}
_OPTIONAL = "mgmt_nested"
_HOST_KEYS = {"mgmt_hypervisor": models.Hypervisor, "mgmt_router": models.Router}
KNOWN_KEYS = {*_SITE_KEYS, _OPTIONAL, *_HOST_KEYS, "mgmt_waivers", "mgmt_workloads", "mgmt_vm", "mgmt_vm_defaults"}


def build(raw: RawSite, *, asked: bool = True) -> tuple[Inventory, list[Problem]]:
    """The typed site with the problems of its types; wrong parts of it raise Unsound when they are read.

    A site that is only read for what others may not use as well is not asked how it is installed.
    """
    return _Builder(raw, asked=asked).build()


class _Builder:
    def __init__(self, raw: RawSite, *, asked: bool) -> None:
        self.raw = raw
        self.asked = asked
        self.problems: list[Problem] = []
        self.missing: dict[str, list[Problem]] = {}  # key of mgmt_vm -> the VMs that have it nowhere

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
            workloads=dict(self._workloads()),
            declared_segments=self._segments() if is_ours else {},
            hosts={name: self._host(host, domain, named, is_ours=is_ours) for name, host in raw.hosts.items()},
            variables=raw.variables,
            anchor=raw.anchor(),
            is_ours=is_ours,
            whole=whole,
            nested=self._nested() if is_ours and self.asked else None,
        )
        self._report_missing(len(inventory.guests))
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

    def _nested(self) -> Nested | None:
        variable = self.raw.variables.get(_OPTIONAL)
        if variable is None:
            return None
        # The installer's rules take as long to load as those of half the inventory, and few sites are installed by it.
        from harness.inventory import nested_models  # noqa: PLC0415

        return cast("Nested", self._model(nested_models.Nested, variable, (_OPTIONAL,)))

    def _model(self, model: type[Any], variable: Variable, root: KeyPath) -> Any:
        if variable.doubtful:
            return _nothing_sound(model)
        if str(root[0]).startswith(_OURS):
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

    def _workloads(self) -> Iterator[tuple[str, Workload]]:
        variable = self.raw.variables.get("mgmt_workloads")
        if variable is None or variable.value is None:
            return
        if not isinstance(variable.value, dict):
            found, expected = shown(variable.value), "a mapping of responsibilities"
            self.problems.append(error(variable.at(), ("mgmt_workloads",), found=found, expected=expected))
            return
        for name, value in variable.value.items():
            part = Variable(value, variable.document, (*variable.prefix, name))
            yield str(name), self._model(Workload, part, ("mgmt_workloads", str(name)))

    def _segments(self) -> dict[str, Segment | None] | None:
        variable = self.raw.variables.get("deevnet_vlans")
        if variable is not None and variable.doubtful:
            return None
        if variable is None or not isinstance(variable.value, dict):
            if not self.raw.unread:
                at = variable.at() if variable else self.raw.anchor()
                found = shown(variable.value if variable else None)
                hint = "set deevnet_vlans in group_vars/all"
                self.problems.append(error(at, ("deevnet_vlans",), found=found, expected="the segments", hint=hint))
            return None
        return {str(name): self._segment(str(name), variable) for name in variable.value}

    def _segment(self, name: str, vlans: Variable) -> Segment | None:
        """None for one that is wrong, and for a VLAN that is no segment: without a subnet or a gateway."""
        root: KeyPath = ("deevnet_vlans", name)

        def at(path: KeyPath) -> Declared:
            return vlans.at((name, *path))

        vlan, problems = read_model(models.Vlan, vlans.value[name], at, root)
        problems = [problem for problem in problems if problem.severity == "error"] or _range_problems(vlan, at, root)
        self.problems.extend(problems)
        if problems or vlan.subnet is None or vlan.gateway is None:
            return None
        first, last = vlan.dhcp_range_start, vlan.dhcp_range_end
        pool = (first, last) if first and last else None
        return Segment(name, vlan.vlan_id, vlan.subnet, vlan.gateway, pool)

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
            claims=tuple(read_claims(variables)),
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
        for name, part in (("mgmt_vm", own), ("mgmt_vm_defaults", defaults)):
            if part is not None and part.doubtful:
                return _nothing_sound(models.Vm)
            if part is not None and not isinstance(part.value, dict):
                self.problems.append(error(part.at(), (name,), found=shown(part.value), expected="a mapping"))
                return _nothing_sound(models.Vm)
        merged = {**(defaults.value if defaults else {}), **own.value}
        for name, part in (("mgmt_vm", own), ("mgmt_vm_defaults", defaults)):
            if part is not None:
                self.problems.extend(forbidden_texts(part.value, part.at, (name,)))

        def at(path: KeyPath) -> Declared:
            return vm_variable(raw.variables, path).at(path)

        vm, problems = read_model(models.Vm, merged, at, ("mgmt_vm",))
        for problem in problems:
            self._sort_vm_problem(raw, problem)
        return vm

    def _sort_vm_problem(self, raw: RawHost, problem: Problem) -> None:
        """What stands in the defaults is wrong there; what is in neither may be missing for all."""
        _, _, path = problem.path.partition(".")
        key = path.partition(".")[0].partition("[")[0]
        own, defaults = raw.variables["mgmt_vm"].value, raw.variables.get("mgmt_vm_defaults")
        if key not in own and defaults is not None and key in defaults.value:
            self.problems.append(replace(problem, path=f"mgmt_vm_defaults.{path}"))
        elif problem.found == "nothing" and path == key:
            self.missing.setdefault(key, []).append(problem)
        else:
            self.problems.append(problem)

    def _report_missing(self, guests: int) -> None:
        """A key that no VM has is missing once: in the defaults."""
        everywhere = [key for key, problems in self.missing.items() if len(problems) == guests > 1]
        for key, problems in self.missing.items():
            if key not in everywhere:
                self.problems.extend(problems)
        if everywhere:
            said = (host.variables.get("mgmt_vm_defaults") for host in self.raw.hosts.values())
            defaults = next((variable for variable in said if variable), None)
            at = defaults.at() if defaults else self.raw.anchor()
            expected = f"{', '.join(sorted(everywhere))} for every management VM"
            hint = f"group_vars/{MANAGEMENT_GROUP} is the place for what all VMs share"
            self.problems.append(error(at, ("mgmt_vm_defaults",), found="nothing", expected=expected, hint=hint))

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
