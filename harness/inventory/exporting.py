"""The contract as other tools read it: Kea, /etc/hosts, an inventory script for Ansible. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from harness.contract import Contract, Segment
from harness.inventory.site import Host

# What the owner's roles read of a host; all else of its variables stays where it is.
ROLE_KEYS = ("infrastructure", "env")


def export_kea(contract: Contract) -> dict[str, Any]:
    """A configuration for kea-dhcp4 that holds the reservations of each subnet; merge it into the server's own.

    Clients are known by their MAC alone: clones of one template show the same client-id until they are made their own.
    """
    held = {
        segment.name: [one for one in contract.reservations if one.address in segment.subnet]
        for segment in contract.segments.values()
    }
    subnets = [
        {
            "id": number,
            "subnet": str(segment.subnet),
            **_pools(segment),
            "match-client-id": False,
            "option-data": [
                {"name": "routers", "data": str(segment.gateway)},
                {"name": "domain-name-servers", "data": str(contract.router.dns)},
                {"name": "domain-name", "data": contract.domain},
            ],
            "reservations": [
                {"hw-address": one.mac, "ip-address": str(one.address), "hostname": one.name}
                for one in sorted(held[segment.name], key=lambda one: one.address)
            ],
        }
        for number, segment in enumerate(contract.segments.values(), 1)
        if held[segment.name]
    ]
    return {"Dhcp4": {"host-reservation-identifiers": ["hw-address"], "subnet4": subnets}}


def _pools(segment: Segment) -> dict[str, Any]:
    return {"pools": [{"pool": f"{segment.pool[0]} - {segment.pool[1]}"}]} if segment.pool else {}


def export_hosts(contract: Contract) -> str:
    """Lines of /etc/hosts: address, full name, short name, aliases in both forms."""
    aliases: dict[str, list[str]] = {}
    for record in contract.records:
        if record.type == "CNAME":
            aliases.setdefault(record.target, []).append(record.name)
    addresses = [record for record in contract.records if record.type == "A"]
    lines = []
    for record in sorted(addresses, key=lambda one: IPv4Address(one.target)):
        names = [record.name, *aliases.get(record.name, [])]
        short = [name.removesuffix(f".{contract.domain}") for name in names]
        lines.append(" ".join([record.target, *(part for pair in zip(names, short, strict=True) for part in pair)]))
    return "".join(f"{line}\n" for line in lines)


def export_ansible(
    contract: Contract, hosts: Mapping[str, Host], variables: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What an inventory script prints with --list: groups, and of each host what a router's role reads."""
    groups: dict[str, dict[str, list[str]]] = {}
    for host in hosts.values():
        for group in host.groups:
            if group != "all":
                groups.setdefault(group, {"hosts": []})["hosts"].append(host.name)
    hostvars = {name: _role_variables(contract, host, variables[name]) for name, host in hosts.items()}
    return {"_meta": {"hostvars": hostvars}, "all": {"hosts": list(hosts)}, **dict(sorted(groups.items()))}


def _role_variables(contract: Contract, host: Host, variables: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: variables[key] for key in ROLE_KEYS if key in variables}
    address = next((record.target for record in contract.records if record.name == host.fqdn), None)
    return {**kept, **({"ansible_host": address} if address else {}), "dns_domain": contract.domain}
