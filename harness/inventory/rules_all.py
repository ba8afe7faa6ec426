"""What must be unique over all sites, whoever holds it, and what every host's identity must look like."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from harness import identity
from harness.contract import Declared
from harness.inventory.fields import Unsound
from harness.inventory.problems import KeyPath, Problem, dotted, error, shown, warning
from harness.inventory.site import UNKNOWN, Host, Inventory, normal_mac, parse_address

Place = tuple[str, int, str]


@dataclass(frozen=True)
class _Holder:
    """Who holds a value. `weight` tells whose mistake a clash is: ours before foreign, a VM before a machine."""

    site: str
    host: str
    at: Declared
    path: KeyPath
    weight: int

    @property
    def place(self) -> Place:
        return (str(self.at.file), self.at.line, dotted(self.path))

    def __str__(self) -> str:
        return f"{self.host} of {self.site} ({self.at})"


Claims = dict[str, list[_Holder]]


def foreign_problems(site: Inventory) -> Iterator[Problem]:
    """The identity of hosts that are not ours; nothing else of them is looked at."""
    for host in site.hosts.values():
        if host.ours:
            continue
        if not identity.is_label(host.name.split(".")[0]):
            hint = "the name cannot stand in DNS"
            found = f"the name {host.name!r}"
            yield warning(host.declared, (), found=found, expected="a DNS label (a-z, 0-9, -)", hint=hint)
        for claim in host.claims:
            yield from _foreign_mac(host, claim.key, claim.mac)
            yield from _foreign_address(host, claim.key, claim.ip)


def _foreign_mac(host: Host, key: str, value: object) -> Iterator[Problem]:
    if value is None or _is_open(value):
        return
    path = ("infrastructure", "interfaces", key, "mac")
    text = str(value)
    try:
        identity.parse_mac(text)
    except ValueError as expected:
        report = warning if normal_mac(value) else error
        hint = "put it in quotes: YAML reads it as a number" if isinstance(value, int) else ""
        yield report(host.at(*path), path, found=shown(value), expected=str(expected), hint=hint)


def _foreign_address(host: Host, key: str, value: object) -> Iterator[Problem]:
    if value is None or _is_open(value) or parse_address(value) is not None:
        return
    text = str(value)
    if text.lower() == "dhcp" or ":" in text or "/" in text:
        return
    path = ("env", "interfaces", key, "ip")
    yield error(host.at(*path), path, found=shown(value), expected="an IPv4 address, dhcp or null")


def _is_open(value: object) -> bool:
    """Whether the inventory does not say it here: unknown, empty, or left to Ansible's templates."""
    text = str(value)
    return text.upper() in {UNKNOWN, ""} or "{{" in text or "{%" in text


def shared_problems(
    sites: Sequence[Inventory], asked: Collection[str], reported: Collection[Place]
) -> Iterator[Problem]:
    """What two hold. `reported` are places that are wrong already: of two holders, that one made the mistake."""
    copies, rest = _copies(sites), list(sites)
    for copy, original in copies:
        rest.remove(copy)
        if {copy.site, original.site} & set(asked):
            yield _copy_problem(copy, original)
    clashes = (
        ("MAC", _macs(rest)),
        ("address", _addresses(rest)),
        ("VMID", _vmids(rest)),
        ("name", _names(rest)),
        ("environment byte", _environments(rest)),
    )
    for what, claims in clashes:
        for value, holders in claims.items():
            yield from _clash(what, value, holders, asked, reported)


def _copies(sites: Sequence[Inventory]) -> list[tuple[Inventory, Inventory]]:
    """Sites that describe another's domain once more: one mistake, not one for each of their hosts."""
    first: dict[tuple[str | None, str | None], Inventory] = {}
    copies = []
    for site in sorted(sites, key=lambda site: not site.is_ours):
        if site.substrate is None or site.root_domain is None:
            continue
        original = first.setdefault((site.substrate, site.root_domain), site)
        if original is not site:
            copies.append((site, original))
    return copies


def _copy_problem(copy: Inventory, original: Inventory) -> Problem:
    path = ("deevnet_substrate",)
    report = error if copy.is_ours else warning
    found = f"{copy.substrate!r}, the domain of {original.site} ({original.at(*path)})"
    hint = "its hosts were not compared with those of other sites"
    return report(copy.at(*path), path, found=found, expected="a domain of its own", hint=hint)


def _clash(
    what: str, value: str, holders: list[_Holder], asked: Collection[str], reported: Collection[Place]
) -> Iterator[Problem]:
    if len(holders) < 2 or not any(holder.site in asked for holder in holders):
        return
    across = len({holder.site for holder in holders}) > 1
    heaviest = max(holder.weight for holder in holders)
    if what == "address" and across and not heaviest:
        return  # two sites may use the same private network for what is not ours
    blamed = max(
        enumerate(holders),
        key=lambda case: (case[1].site in asked, case[1].place in reported, case[1].weight, case[0]),
    )[1]
    others = " and ".join(str(holder) for holder in holders if holder is not blamed)
    # A doubled alias of machines that are not ours is the owner's own affair.
    report = warning if what == "name" and heaviest < 2 else error
    expected = f"{'an' if what[0] in 'ae' else 'a'} {what} that nobody else has, over all sites"
    yield report(blamed.at, blamed.path, found=f"the {what} {value} of {others}", expected=expected)


def _weight(host: Host) -> int:
    return 2 if host.vm or host.hypervisor else 1 if host.ours else 0


def _holder(site: Inventory, host: Host, path: KeyPath) -> _Holder:
    return _Holder(site.site, host.name, host.at(*path), path, _weight(host))


def _add(claims: Claims, value: str | None, holder: _Holder) -> None:
    """Keep the claim, once per host: a foreign host may hold an address on two ports."""
    if value is None:
        return
    held = claims.setdefault(value, [])
    if holder.weight or all((one.site, one.host) != (holder.site, holder.host) for one in held):
        held.append(holder)


def _hosts(sites: Iterable[Inventory]) -> Iterator[tuple[Inventory, Host]]:
    for site in sites:
        for host in site.hosts.values():
            yield site, host


def _macs(sites: Iterable[Inventory]) -> Claims:
    claims: Claims = {}
    for site, host in _hosts(sites):
        for claim in host.claims:
            path = ("infrastructure", "interfaces", claim.key, "mac")
            _add(claims, normal_mac(claim.mac), _holder(site, host, path))
    return claims


def _addresses(sites: Sequence[Inventory]) -> Claims:
    claims: Claims = {}
    gateways = {segment.gateway for site in sites for segment in site.sound_segments.values()}
    for site, host in _hosts(sites):
        for claim in host.claims:
            address = parse_address(claim.ip)
            if host.vm and address in gateways:
                continue  # reported as such
            holder = _holder(site, host, ("env", "interfaces", claim.key, "ip"))
            _add(claims, str(address) if address else None, holder)
    return claims


def _vmids(sites: Iterable[Inventory]) -> Claims:
    claims: Claims = {}
    for site, host in _hosts(sites):
        if host.vm and "vmid" in host.vm.__dict__:
            _add(claims, str(host.vm.vmid), _holder(site, host, ("mgmt_vm", "vmid")))
    for site in sites:
        if (scratch := site.settings.__dict__.get("scratch_vmid")) is not None:
            at = ("mgmt_site", "scratch_vmid")
            others = [one for one in claims.get(str(scratch), []) if one.site != site.site]
            if others:
                claims[str(scratch)].append(_Holder(site.site, "the scratch VM", site.at(*at), at, 2))
    # A template's VMID counts on its own hypervisor only: PVE gives it, and it may be the same elsewhere.
    for site, host in _hosts(sites):
        for key, template in _templates(host):
            held = [one for one in claims.get(str(template), []) if one.site == site.site]
            if held:
                path = ("mgmt_hypervisor", "templates", key, "vmid")
                claims[str(template)].append(_Holder(site.site, f"the template {key}", host.at(*path), path, 1))
    return claims


def _templates(host: Host) -> Iterator[tuple[str, int]]:
    templates = host.hypervisor.__dict__.get("templates", {}) if host.hypervisor else {}
    for key, template in templates.items():
        if template.vmid is not None:
            yield key, template.vmid


def _names(sites: Iterable[Inventory]) -> Claims:
    """Every name a zone would hold: hosts and aliases."""
    claims: Claims = {}
    for site, host in _hosts(sites):
        try:
            domain = site.domain
        except Unsound:
            continue
        _add(claims, host.fqdn, _Holder(site.site, host.name, host.declared, (), _weight(host)))
        for claim in host.claims:
            for place, cname in claim.cnames.items():
                holder = _holder(site, host, ("env", "interfaces", claim.key, "dns", "cnames", place))
                claims.setdefault(f"{cname}.{domain}", []).append(holder)
    return claims


def _environments(sites: Iterable[Inventory]) -> Claims:
    claims: Claims = {}
    path = ("mgmt_mac_namespace", "environment")
    for site in sites:
        said = site.namespace.__dict__
        if {"prefix", "environment"} <= said.keys():
            value = f"{said['prefix']}:{said['environment']}"
            claims.setdefault(value, []).append(_Holder(site.site, "mgmt_mac_namespace", site.at(*path), path, 1))
    return claims
