"""Drill: the tenant hypervisor is cut off; every management service must go on answering."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Network

from harness.drills import guard
from harness.drills.answering import ask_all
from harness.drills.cutting import DEVICE, Cut, render_cut, render_mend
from harness.drills.model import Drilling
from harness.drills.whole import check_answers, check_api, require_whole
from harness.errors import Unsafe
from harness.wait import wait_until

# Long enough for what was still in somebody's buffer or cache to be used up.
HOLD_S = 5.0
UNDO_WITHIN_S = 180


def run(drilling: Drilling) -> None:
    contract, tools = drilling.contract, drilling.tools
    cut = _cut_of(drilling)
    _require_we_stay_outside(drilling, cut)
    require_whole(drilling)
    answered = _tenant_answers(drilling)
    drilling.note(f"the tenant hypervisor {contract.tenant_hypervisor} before the cut", answered)
    with drilling.changes(f"{cut} is cut off", lambda: guard.undo(tools, timeout_s=60)):
        guard.arm(tools, "tenant-loss", render_mend(cut), within_s=UNDO_WITHIN_S)
        tools.tell_hypervisor("sh -s", stdin=render_cut(cut), tried="cut the tenant hypervisor off")
        drilling.check(
            f"the tenant hypervisor {contract.tenant_hypervisor}, cut off",
            wanted="no answer",
            seen=_tenant_answers(drilling),
        )
        wait_until(lambda: (None, "held"), deadline_s=HOLD_S)
        check_answers(drilling, ask_all(contract, contract.guests), "without the tenant hypervisor")
        check_api(drilling, "without the tenant hypervisor")
        drilling.note("frames that were dropped", _dropped(drilling))
    check_answers(drilling, ask_all(contract, contract.guests), "with the tenant hypervisor back")


def _cut_of(drilling: Drilling) -> Cut:
    contract = drilling.contract
    if contract.tenant_hypervisor is None or contract.tenant_address is None:
        raise Unsafe(
            tried="drill the loss of the tenant hypervisor",
            on=f"site {contract.site}",
            happened="the inventory names no tenant hypervisor with a fixed address",
            do="Declare it: mgmt_site.tenant_hypervisor, and env.interfaces.<name>.ip of that host",
        )
    ports = tuple(bridge.port for bridge in contract.hypervisor.bridges if bridge.port)
    return Cut(ports, (IPv4Network(contract.tenant_address), *contract.tenant_networks))


def _require_we_stay_outside(drilling: Drilling, cut: Cut) -> None:
    """From inside the part that is cut off nobody could end the cut."""
    said = drilling.tools.tell_hypervisor('echo "$SSH_CONNECTION"', tried="see from where we come").split()
    source = ipaddress.ip_address(said[0]) if said else None
    if source is not None and any(source in network for network in cut.networks):
        raise Unsafe(
            tried="drill the loss of the tenant hypervisor",
            on=f"site {drilling.contract.site}",
            happened=f"this machine reaches the hypervisor from {source}, which would be cut off, too",
            do="Run the drill from a machine on the management side",
        )


def _tenant_answers(drilling: Drilling) -> str:
    """Asked from the hypervisor by ARP, which whoever is there cannot decline where both are on one segment."""
    address = str(drilling.contract.tenant_address)
    ask = f"ip neigh flush to {address}; ping -n -q -c 2 -i 0.3 -W 1 {address} >/dev/null 2>&1 && echo ping"
    known = f"ip neigh show to {address} nud reachable | grep -q lladdr && echo neighbour"
    seen = drilling.tools.ask_hypervisor(f"{ask}; {known}; true").stdout.split()
    return "answers" if seen else "no answer"


def _dropped(drilling: Drilling) -> str:
    counted = drilling.tools.ask_hypervisor(f"cat /sys/class/net/{DEVICE}/statistics/tx_packets").stdout.strip()
    return counted or "not counted"
