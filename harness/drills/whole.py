"""Look whether a site is whole: only then does a drill on it show anything, and only then may it be disturbed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.contract import Guest
from harness.drills.answering import Answer, ask_all
from harness.drills.model import Drilling
from harness.engine.observe import make_plan
from harness.errors import Refused, Unreachable, Unsafe
from harness.pve import read


def require_whole(drilling: Drilling) -> tuple[Answer, ...]:
    """Unsafe unless every VM of the inventory is there, ours, running, left in peace and answering."""
    contract, reader = drilling.contract, drilling.tools.fresh_reader()
    plan = make_plan(contract, reader)
    wrong = [refusal.reason for refusal in plan.refusals]
    wrong += [f"{change.guest} is not there or not finished ({change.detail})" for change in plan.changes]
    if not wrong:
        seen = {vm.vmid: vm for vm in read.read_guests(reader, contract.hypervisor.node)}
        for guest in contract.guests:
            vm = seen[guest.vmid]
            wrong += [] if vm.status == "running" else [f"{guest.name} is {vm.status}"]
            wrong += [f"{guest.name} is locked: {vm.lock}"] if vm.lock else []
    if wrong:
        raise _not_whole(
            drilling, wrong, f"{contract.invoke('provision')}, or wait for what works on the VM, then run it again"
        )
    answers = ask_all(contract, contract.guests)
    if silent := [f"{one.what}: expected {one.wanted}, seen {one.seen}" for one in answers if not one.good]:
        raise _not_whole(
            drilling, silent, f"{contract.invoke('verify')} says more; mend that, then run the drill again"
        )
    drilling.note("before the drill", f"{len(contract.guests)} VMs run, and all of {len(answers)} answers are right")
    return answers


def check_answers(drilling: Drilling, answers: Iterable[Answer], when: str) -> None:
    """Each wrong answer is one broken promise; the right ones are said together."""
    said = list(answers)
    for one in said:
        if not one.good:
            drilling.check(f"{one.what}, {when}", wanted=one.wanted, seen=one.seen, good=False)
    right = sum(one.good for one in said)
    drilling.check(f"answers of the management VMs, {when}", wanted=f"{len(said)} right", seen=f"{right} right")


def check_api(drilling: Drilling, when: str) -> None:
    """The API, too, is a management service: its silence is a broken promise."""
    try:
        seen, good = f"version {drilling.tools.fresh_reader().get('/version')['version']}", True
    except (Refused, Unreachable) as silence:
        seen, good = silence.happened, False
    drilling.check(f"the hypervisor's API, {when}", wanted="an answer", seen=seen, good=good)


def statuses(drilling: Drilling, guests: Sequence[Guest]) -> dict[str, str]:
    """What PVE says of each of these VMs now."""
    hypervisor = drilling.contract.hypervisor
    seen = {vm.vmid: vm.status for vm in read.read_guests(drilling.tools.fresh_reader(), hypervisor.node)}
    return {guest.name: seen.get(guest.vmid, "gone") for guest in guests}


def _not_whole(drilling: Drilling, wrong: Sequence[str], do: str) -> Unsafe:
    more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
    return Unsafe(
        tried="begin the drill",
        on=f"site {drilling.contract.site}",
        happened=f"the site is not whole before it: {'; '.join(wrong[:3])}{more}; nothing was changed",
        do=do,
    )
