"""OPNsense's Unbound overrides: nothing is ever a duplicate here, and an alias is served with its parent's address."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from .daemons import Names, unbound_config
from .grid import Fields, Labels
from .seed import Seed

HOST = {
    "enabled": "1",
    "hostname": "",
    "domain": "",
    "rr": "A",
    "mxprio": "",
    "mx": "",
    "server": "",
    "addptr": "1",  # since 26.1
    "description": "",
}
ALIAS = {"enabled": "1", "host": "", "hostname": "", "domain": "", "description": ""}
RECORD_TYPES = {"A": "A (IPv4 address)", "AAAA": "AAAA (IPv6 address)", "MX": "MX (Mail server)"}


def first_unbound(seed: Seed) -> dict[str, Any]:
    hosts, aliases, key_of = {}, {}, {}
    for record in (one for one in seed.records if one.type == "A"):
        key_of[record.name] = str(uuid.uuid4())
        hosts[key_of[record.name]] = {**HOST, **_named(record.name), "server": record.target}
    for record in (one for one in seed.records if one.type == "CNAME"):
        aliases[str(uuid.uuid4())] = {**ALIAS, **_named(record.name), "host": key_of[record.target]}
    return {
        "general": {"enabled": "1", "port": "53", "regdhcpstatic": "0"},
        "address": seed.address,
        "domain": seed.domain,
        "networks": [one.subnet for one in seed.subnets],
        "hosts": hosts,
        "aliases": aliases,
    }


def _named(name: str) -> dict[str, str]:
    hostname, _, domain = name.partition(".")
    return {"hostname": hostname, "domain": domain}


def host_labels() -> Labels:
    return {"rr": RECORD_TYPES}


def alias_labels(unbound: Mapping[str, Any]) -> Labels:
    return {"host": {key: full_name(one) for key, one in unbound["hosts"].items()}}


def full_name(entry: Fields) -> str:
    return ".".join(part for part in (entry["hostname"], entry["domain"]) if part)


def host_complaints(given: Fields) -> dict[str, str]:
    """The model asks for a domain and for an address of the right kind; it does not look at the other entries."""
    found = {} if given["domain"] else {"domain": "A value is required."}
    if given["rr"] not in RECORD_TYPES:
        found["rr"] = "Option not in list."
    elif given["rr"] == "A" and given["server"].count(".") != 3:
        found["server"] = "A valid IPv4 address must be specified."
    return found


def alias_complaints(unbound: Mapping[str, Any], given: Fields) -> dict[str, str]:
    return {} if given["host"] in unbound["hosts"] else {"host": "Related host override not found."}


def rendered(unbound: Mapping[str, Any]) -> str:
    """Unbound's file. The first override of an address has its PTR; aliases have none."""
    hosts = {key: one for key, one in unbound["hosts"].items() if one["enabled"] == "1" and one["rr"] == "A"}
    addresses = [(full_name(one), one["server"]) for one in hosts.values()]
    for alias in unbound["aliases"].values():
        if alias["enabled"] == "1" and alias["host"] in hosts:
            parent = hosts[alias["host"]]
            inherited = {name: alias[name] or parent[name] for name in ("hostname", "domain")}
            addresses.append((full_name(inherited), parent["server"]))
    pointers = {one["server"]: full_name(one) for one in reversed(hosts.values()) if one["addptr"] == "1"}
    names = Names(tuple(addresses), tuple(pointers.items()))
    return unbound_config(unbound["address"], unbound["domain"], unbound["networks"], names)
