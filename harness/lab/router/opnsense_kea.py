"""OPNsense's Kea DHCPv4 page: subnets and reservations with the checks its model has, and no others."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from .daemons import Reservation, Subnet, kea_config, subnet_of
from .grid import Fields, Labels
from .seed import Seed

RESERVATION = {"subnet": "", "ip_address": "", "hw_address": "", "hostname": "", "description": ""}
OPTIONS = {"domain_name_servers": "domain-name-servers", "routers": "routers", "domain_search": "domain-search"}
_MAC = re.compile(r"([0-9a-f]{2}[:-]){5}[0-9a-f]{2}|([0-9a-f]{4}\.){2}[0-9a-f]{4}", re.IGNORECASE)
# Options of a reservation that its grid does not show; a client that deletes and adds loses them.
HIDDEN = ("option_data",)


def first_kea(seed: Seed) -> dict[str, Any]:
    """The page as an administrator left it who entered the seed."""
    subnets = {str(uuid.uuid4()): one for one in seed.subnets}
    by_network = {one.subnet: key for key, one in subnets.items()}
    return {
        "general": {"enabled": "1", "manual_config": "0", "interfaces": "lan", "valid_lifetime": "4000"},
        "nic": seed.nic,
        "subnets": {
            key: {
                "subnet": one.subnet,
                "pools": f"{one.pool[0]} - {one.pool[1]}" if one.pool else "",
                "option_data_autocollect": "0",
                "option_data": {
                    "domain_name_servers": seed.address,
                    "routers": one.gateway,
                    "domain_search": seed.domain,
                },
                "match-client-id": "1",
                "description": "",
            }
            for key, one in subnets.items()
        },
        "reservations": {
            str(uuid.uuid4()): {
                **RESERVATION,
                "subnet": by_network[subnet_of(one.address, by_network) or ""],
                "ip_address": one.address,
                "hw_address": one.mac,
                "hostname": one.name,
            }
            for one in seed.reservations
        },
    }


def labels(kea: Mapping[str, Any]) -> Labels:
    return {"subnet": {key: str(one["subnet"]) for key, one in kea["subnets"].items()}}


def complaints(kea: Mapping[str, Any], key: str, given: Fields) -> dict[str, str]:
    """What the model says of a reservation, by field; MACs are compared as text, without regard to case."""
    found: dict[str, str] = {}
    others = [one for other, one in kea["reservations"].items() if other != key]
    subnet = kea["subnets"].get(given["subnet"])
    if subnet is None:
        found["subnet"] = "Related subnet not found."
    elif not _is_address(given["ip_address"]) or subnet_of(given["ip_address"], [subnet["subnet"]]) is None:
        found["ip_address"] = "Address not in specified subnet"
    if any(one["ip_address"] == given["ip_address"] for one in others):
        found["ip_address"] = "Duplicate entry exists."
    if not _MAC.fullmatch(given["hw_address"]):
        found["hw_address"] = "A value is required." if not given["hw_address"] else "Invalid MAC address."
    same_subnet = [one for one in others if one["subnet"] == given["subnet"]]
    if any(one["hw_address"].lower() == given["hw_address"].lower() for one in same_subnet):
        found["hw_address"] = "Duplicate entry exists."
    return found


def _is_address(text: str) -> bool:
    parts = text.split(".")
    return len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts)


def rendered(kea: Mapping[str, Any]) -> str:
    """Kea's file; the daemon sees it at the next reconfigure."""
    return kea_config(kea["nic"], [_subnet(kea, number, key) for number, key in enumerate(kea["subnets"], 1)])


def _subnet(kea: Mapping[str, Any], number: int, key: str) -> Subnet:
    one = kea["subnets"][key]
    return Subnet(
        id=number,
        subnet=one["subnet"],
        pools=tuple(line.strip() for line in one["pools"].splitlines() if line.strip()),
        options={OPTIONS[name]: value for name, value in one["option_data"].items() if name in OPTIONS},
        reservations=tuple(
            Reservation(plain_mac(entry["hw_address"]), entry["ip_address"], entry["hostname"])
            for entry in kea["reservations"].values()
            if entry["subnet"] == key
        ),
        match_client_id=one["match-client-id"] == "1",
    )


def plain_mac(text: str) -> str:
    digits = re.sub(r"[^0-9a-fA-F]", "", text).lower()
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))
