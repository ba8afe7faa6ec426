"""Drill: the hypervisor restarts; every VM must come back by itself, in order, and answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.contract import Guest
from harness.drills import guard
from harness.drills.answering import wait_for_all
from harness.drills.model import Drilling
from harness.drills.restarting import render_start, start_takes_s
from harness.drills.whole import check_answers, check_api, require_whole, statuses
from harness.errors import HarnessError, TimedOut, Unreachable
from harness.wait import wait_until

# /run is empty after a start, so this file is there exactly as long as the machine has not been restarted.
MARK = "/run/mgmt-harness-drill"
DOWN_S = 600.0  # VMs have three minutes to power off, and then a machine's firmware takes its time
HOST_UP_S = 900.0


def run(drilling: Drilling) -> None:
    contract, tools = drilling.contract, drilling.tools
    guests = contract.guests
    require_whole(drilling)
    starts_s = start_takes_s(guests)
    undo_within_s = int(starts_s + contract.guest_deadline_s + 300)
    with drilling.changes("the hypervisor restarts", lambda: _undo(drilling, starts_s)):
        guard.arm(tools, "reboot", render_start(contract, guests), within_s=undo_within_s)
        tools.tell_hypervisor(f"touch {MARK}", tried="mark the running system")
        _restart(drilling)
        _wait_for_pve_to_start_vms(drilling, starts_s)
        check_api(drilling, "after the restart")
        running = statuses(drilling, guests)
        for guest in guests:
            drilling.check(f"{guest.name} after the restart", wanted="running", seen=running[guest.name])
        back = [guest for guest in guests if running[guest.name] == "running"]
        _check_order(drilling, back)
        deadline_s = contract.guest_deadline_s
        check_answers(
            drilling, wait_for_all(contract, back, deadline_s=deadline_s, tell=drilling.tell), "after the restart"
        )


def _restart(drilling: Drilling) -> None:
    tools = drilling.tools
    try:
        tools.ask_hypervisor("systemctl reboot", timeout_s=20)
    except (Unreachable, TimedOut) as gone:
        drilling.note("the restart", f"it went down while it answered ({gone.happened})")
    tools.hang_up()
    limit_s = DOWN_S + HOST_UP_S
    waited = wait_until(lambda: _look_for_restart(drilling), deadline_s=limit_s, first_pause_s=0.5)
    if waited.value is None:
        raise TimedOut(
            tried="see the hypervisor come back",
            on=drilling.contract.hypervisor.fqdn,
            happened=f"after {waited.seconds:.0f} s: {waited.last_seen}",
            do="Look at its console",
        )
    drilling.note("the hypervisor answers again", f"{waited.seconds:.1f} s after the restart was asked for")
    drilling.tell(f"the hypervisor answers again after {waited.seconds:.1f} s")


def _look_for_restart(drilling: Drilling) -> tuple[bool | None, str]:
    try:
        marked = drilling.tools.ask_hypervisor(f"test -e {MARK}", timeout_s=5).succeeded
    except HarnessError as silence:
        drilling.tools.hang_up()  # a connection that hangs would make every later look wait for it
        return None, silence.happened
    return (None, "it has not gone down") if marked else (True, "restarted")


def _wait_for_pve_to_start_vms(drilling: Drilling, starts_s: float) -> None:
    """pve-guests.service is active once PVE has started everything it starts by itself."""

    def look() -> tuple[str | None, str]:
        asked = "systemctl is-active pve-guests.service; systemctl is-system-running"
        state, system = drilling.tools.ask_hypervisor(asked).stdout.split()[:2]
        began = state != "inactive" or system not in {"initializing", "starting"}
        return (state if began and state in {"active", "failed", "inactive"} else None), state

    waited = wait_until(look, deadline_s=starts_s + 120, first_pause_s=0.3)
    drilling.check("PVE's own start of the VMs (pve-guests.service)", wanted="active", seen=waited.last_seen)


def _check_order(drilling: Drilling, guests: Sequence[Guest]) -> None:
    """From the task list: every VM of an earlier place began before those of a later one."""
    node = drilling.contract.hypervisor.node
    tasks = drilling.tools.fresh_reader().get(f"/nodes/{node}/tasks", {"typefilter": "qmstart", "limit": 500})
    latest: dict[str, Any] = {}
    for task in sorted(tasks, key=lambda one: (one["starttime"], one["upid"])):
        latest[str(task["id"])] = task
    began = {guest.name: latest[str(guest.vmid)]["starttime"] for guest in guests if str(guest.vmid) in latest}
    known = [guest for guest in guests if guest.name in began]
    wrong = [
        f"{later.name} (place {later.start_order}) before {earlier.name} (place {earlier.start_order})"
        for earlier in known
        for later in known
        if earlier.start_order < later.start_order and began[later.name] < began[earlier.name]
    ]
    seen = ", ".join(sorted(began, key=lambda name: began[name]))
    drilling.check("order of the starts", wanted="as declared", seen="; ".join(wrong) or seen, good=not wrong)


def _undo(drilling: Drilling, starts_s: float) -> None:
    guard.undo(drilling.tools, timeout_s=starts_s + 180)
