"""Drill: every management VM is powered off; the core router must go on answering DNS and DHCP."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from harness import probe
from harness.contract import Contract, Guest
from harness.drills import guard
from harness.drills.answering import wait_for_all
from harness.drills.model import Drilling
from harness.drills.restarting import render_start, start_takes_s
from harness.drills.whole import check_answers, require_whole, statuses
from harness.engine.proving import prove_all
from harness.errors import HarnessError, Refused, TimedOut

STOP_S = 180  # as PVE's own default
# Reserved for documentation, and nobody's: a name in it that nobody asked for yet is in no cache.
OUTSIDE = "example.net"
OUTSIDE_S = 6.0


def run(drilling: Drilling) -> None:
    contract, tools = drilling.contract, drilling.tools
    guests = contract.guests
    require_whole(drilling)
    drilling.note("the core router before the drill", prove_all(contract, tools.services))
    outside = _asked_outside(contract)
    drilling.note("a name outside the site, before the drill", outside)
    starts_s = start_takes_s(guests)
    within_s = int(STOP_S + starts_s + 300)
    with drilling.changes("every management VM is powered off", lambda: _start_again(drilling, starts_s)):
        guard.arm(tools, "router-alone", render_start(contract, guests), within_s=within_s)
        _stop(drilling, guests)
        try:
            served = prove_all(contract, tools.services)
        except TimedOut as missing:
            drilling.check("the core router alone", wanted="everything declared", seen=missing.happened, good=False)
        else:
            drilling.check("the core router alone", wanted="everything declared", seen=served, good=True)
        drilling.check(
            "a name outside the site, asked of the router alone", wanted=outside, seen=_asked_outside(contract)
        )
    check_answers(
        drilling,
        wait_for_all(contract, guests, deadline_s=contract.guest_deadline_s, tell=drilling.tell),
        "started again",
    )


def _stop(drilling: Drilling, guests: Sequence[Guest]) -> None:
    """In the reverse order, each by its power button; none has its power cut."""
    node, vms = drilling.contract.hypervisor.node, ",".join(str(guest.vmid) for guest in guests)
    stopall = f"pvesh create /nodes/{node}/stopall --vms {vms} --timeout {STOP_S} --force-stop 0"
    drilling.tools.tell_hypervisor(
        stopall, tried="power the management VMs off", timeout_s=STOP_S * len({g.start_order for g in guests}) + 60
    )
    left = [f"{name} is {status}" for name, status in statuses(drilling, guests).items() if status != "stopped"]
    if left:
        raise Refused(
            tried="power the management VMs off",
            on=drilling.contract.hypervisor.name,
            happened="; ".join(left),
            do="Look at the node's task list why they do not power off, then run the drill again",
        )
    drilling.tell(f"{len(guests)} VMs are off")
    drilling.note("the management VMs", f"all {len(guests)} are off")


def _start_again(drilling: Drilling, starts_s: float) -> None:
    drilling.tell("starting the VMs again, in order")
    guard.undo(drilling.tools, timeout_s=starts_s + 180)


def _asked_outside(contract: Contract) -> str:
    """How the router answers for a name that is not the site's: by itself or by whomever it asks in turn."""
    name = f"drill-{secrets.token_hex(6)}.{OUTSIDE}"
    try:
        found = probe.resolve_a(name, str(contract.router.dns), contract.router.dns_port, OUTSIDE_S)
    except HarnessError as failure:
        return failure.happened
    return ", ".join(map(str, found)) or "no such name"
