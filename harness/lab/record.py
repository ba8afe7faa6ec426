"""Remember which lab is up, and what it was made from."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.embedded import RECORD, STATE
from harness.lab.requirements import require_root
from harness.lab.spec import HypervisorState, LabSpec, Latency
from harness.lab.trees import digest_of, write_file


@dataclass(frozen=True)
class Record:
    """Written as the last step of `up`: a lab without it is half built."""

    site: str
    domain: str
    router: tuple[str, str]  # name, address
    hypervisor: tuple[str, str]
    hypervisor_state: HypervisorState
    user: str  # of the guests
    fingerprint: str
    made_from: str  # digest of everything that needs a new lab when it changes
    dnsmasq: dict[str, str]
    router_kind: str = "dnsmasq"
    latency: Latency = "none"


def record_of(spec: LabSpec, latency: Latency, fingerprint: str) -> Record:
    """What `write_record` is to keep of a lab."""
    return Record(
        site=spec.site,
        domain=spec.domain,
        router=(spec.router.name, str(spec.router.address)),
        hypervisor=(spec.hypervisor.name, str(spec.hypervisor.address)),
        hypervisor_state=spec.hypervisor_state,
        user=spec.template.user,
        fingerprint=fingerprint,
        made_from=made_from(spec),
        dnsmasq=dict(spec.dnsmasq),
        router_kind=spec.router_kind,
        latency=latency,
    )


def made_from(spec: LabSpec) -> str:
    """The same for two specs that one lab serves both: what the router serves, the cable and PVE's pace can change."""
    changing = {"dnsmasq", "router_seed", "latency", "work"}
    fixed = {key: repr(value) for key, value in vars(spec).items() if key not in changing}
    return digest_of([json.dumps(fixed, sort_keys=True)], Path(__file__).parent)


def write_record(record: Record) -> None:
    """In one step: there is a whole record or none."""
    unfinished = RECORD.with_suffix(".new")
    write_file(unfinished, json.dumps(vars(record), indent=1), 0o600)
    unfinished.replace(RECORD)


def read_record() -> Record | None:
    """The record of the lab that was brought up last and not taken down; its machines may be dead."""
    if not STATE.exists():
        return None
    require_root(tried="look at the lab")
    try:
        kept: dict[str, Any] = json.loads(RECORD.read_text())
    except FileNotFoundError:
        return None
    if kept.keys() != {name.name for name in fields(Record)}:
        return None  # of another version of this program: its lab is made anew
    return Record(**{**kept, "router": tuple(kept["router"]), "hypervisor": tuple(kept["hypervisor"])})
