"""Read what PVE keeps of a VM outside its configuration: who backs it up, its pool, its firewall, who may do what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.pve.client import Client, Writer

# Of a list entry, what changes by itself.
_MOVING = {"next-run", "digest"}


@dataclass(frozen=True)
class Belongings:
    """Each as PVE says it, in JSON with sorted keys, so that two of them can be compared byte for byte."""

    backup_jobs: str  # those that name the VM or its pool, and whether any covers it
    pool: str
    firewall_options: str
    firewall_rules: str
    access: str

    def differences(self, after: Belongings) -> list[str]:
        pairs = {name: (getattr(self, name), getattr(after, name)) for name in self.__dataclass_fields__}
        return [
            f"{name.replace('_', ' ')}: before {was}, now {now}" for name, (was, now) in pairs.items() if was != now
        ]


def read_belongings(client: Client, node: str, vmid: int, pool: str | None) -> Belongings:
    """By a credential that may audit the whole node."""
    path = f"/nodes/{node}/qemu/{vmid}/firewall"
    jobs = [_still(job) for job in client.get("/cluster/backup") if _concerns(job, vmid, pool)]
    uncovered = [int(entry["vmid"]) for entry in client.get("/cluster/backup-info/not-backed-up")]
    members = client.get(f"/pools/{pool}")["members"] if pool else []
    return Belongings(
        backup_jobs=_text({"jobs": jobs, "covered": vmid not in uncovered}),
        pool=_text([pool for one in members if int(one.get("vmid", 0)) == vmid]),
        firewall_options=_text(_still(client.get(f"{path}/options"))),
        firewall_rules=_text([_still(rule) for rule in client.get(f"{path}/rules")]),
        access=_text([entry for entry in client.get("/access/acl") if entry["path"] == f"/vms/{vmid}"]),
    )


def write_firewall_options(writer: Writer, node: str, vmid: int, options: str) -> None:
    """As `read_belongings` read them."""
    if parsed := json.loads(options):
        writer.put(f"/nodes/{node}/qemu/{vmid}/firewall/options", parsed)


def _concerns(job: Mapping[str, Any], vmid: int, pool: str | None) -> bool:
    named = str(vmid) in str(job.get("vmid", "")).split(",") or str(vmid) in str(job.get("exclude", "")).split(",")
    return named or bool(job.get("all")) or (pool is not None and job.get("pool") == pool)


def _still(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in _MOVING}


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)
