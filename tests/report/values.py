"""A report as a value, with one clause of every verdict."""

from __future__ import annotations

from datetime import UTC, date, datetime

from harness.evidence import Fact
from harness.report.model import (
    Check,
    ClauseResult,
    Overall,
    Report,
    ShownBridge,
    ShownChain,
    ShownDrill,
    ShownGuest,
    ShownNetwork,
    ShownWaiver,
    Verdict,
)

FACT = Fact("net", "PTR 198.18.99.30 at 198.18.99.1", "wrong.lab.deevnet.net <b>", 1795340000.5)
WAIVER = ShownWaiver("hardware.memory", "a lab", "ops", date(2026, 12, 1), "inventory/lab/mgmt.yml:9", expired=False)
GUESTS = (
    ShownGuest("metrics-vm01", 130, "observability", "02:de:99:01:01:01", "198.18.99.30", "vmbr0", "running"),
    ShownGuest("logs-vm01", 131, "observability", "02:de:99:01:02:01", "198.18.99.31", "vmbr0", "absent"),
)
NETWORK = ShownNetwork(
    router="core-rt01",
    router_kind="dnsmasq",
    router_address="198.18.99.1",
    router_answered=True,
    hypervisor_address="198.18.99.21",
    hypervisor_answered=True,
    hypervisor_version="8.4.1",
    bridges=(ShownBridge("vmbr0", "eno1", ("management 198.18.99.0/24",), True),),
    strangers=("crypto (VM 666)",),
)
STARTED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
DRILLS = (
    ShownDrill("reboot", "recovery.reboot", "pass", "good", datetime(2026, 11, 10, 9, 0, tzinfo=UTC), 48.2, ("up",)),
    ShownDrill("restore", "backup.restorable", "unasserted", "never run here", None, None, ()),
)

CHAINS = (
    ShownChain("metrics-vm01", ("02:de:99:01:01:01", "net0", "reservation 198.18.99.30"), None, "pass", ""),
    ShownChain("logs-vm01", ("02:de:99:01:02:01", "net0"), "reservation", "fail", "expected <198.18.99.31>, seen none"),
)


def check(
    verdict: Verdict, name: str = "test_it[metrics-vm01]", message: str = "", guest: str | None = "metrics-vm01"
) -> Check:
    return Check(name, verdict, guest, message, (FACT,), 0.25)


def clause(clause_id: str, verdict: Verdict, *checks: Check, message: str = "", group: str = "network") -> ClauseResult:
    return ClauseResult(
        clause_id, group, f"Title of {clause_id}", "A promise.", "VS", "major", verdict, message, checks
    )


CLAUSES = (
    clause("network.bridge", "pass", check("pass")),
    clause("network.dns", "fail", check("fail", message="PTR <wrong>"), check("pass"), message="PTR <wrong>"),
    clause("network.address", "unknown", check("unknown", message="Could not log in"), message="Could not log in"),
    clause("identity.mac-seen", "unknown", check("unknown", message="Could not log in"), message="Could not log in"),
    clause("hardware.memory", "waived", check("fail", message="too small"), message="a lab (until 2026-12-01)"),
    clause("hardware.nic", "pending", check("pending", message="not bought"), message="not bought"),
    clause("backup.recent", "unasserted", message="No spec asserts this promise yet."),
)


def report(
    verdict: Overall = "unknown", clauses: tuple[ClauseResult, ...] = CLAUSES, problems: tuple[str, ...] = ()
) -> Report:
    return Report(
        site="lab",
        verdict=verdict,
        clauses=clauses,
        groups={"network": "Network", "recovery": "Recovery"},
        waivers=(WAIVER,),
        guests=GUESTS,
        hypervisor="hv01.lab.deevnet.net",
        api_calls=31,
        ssh_trips=12,
        seconds=4.25,
        started_at=STARTED,
        problems=problems,
        chains=CHAINS,
        drills=DRILLS,
        network=NETWORK,
    )
