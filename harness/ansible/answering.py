"""Say what became of each guest, or would become of it, as Ansible wants it said of a host."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import yaml

from harness.ansible.joining import Answer
from harness.contract import Contract, Guest
from harness.engine.events import GuestResult, Provisioned
from harness.errors import HarnessError
from harness.evidence import hide_secrets
from harness.plan import Change, Plan
from harness.plan.marks import tags_of
from harness.pve import wire


def answers_of_plan(contract: Contract, plan: Plan, due: Collection[str] = ()) -> dict[str, Answer]:
    """What a run would change; of every guest of the site, so that each asker finds its own.

    `due` are the guests that would get their first backup.
    """
    changes = {change.guest: change for change in plan.changes}
    answers = {guest.name: _planned(contract, guest, plan, changes.get(guest.name)) for guest in contract.guests}
    for name in due:
        if name not in changes:
            answers[name] |= {"changed": True, "kind": "backup", "msg": f"{answers[name]['msg']}, without any backup"}
    return answers


def answers_of_run(contract: Contract, done: Provisioned) -> dict[str, Answer]:
    """What a run has changed."""
    results = {result.guest: result for result in done.results}
    saved = [name for name, result in results.items() if result.outcome == "saved"]
    planned = answers_of_plan(contract, done.plan, saved)
    return {name: _done(answer, results[name]) if name in results else answer for name, answer in planned.items()}


def answer_of_failure(error: Exception) -> Answer:
    """One sentence. Of the exception itself nothing goes on to Ansible: -vvv would print it and all its causes."""
    if isinstance(error, HarnessError):
        return {"failed": True, "changed": False, "msg": hide_secrets(str(error))}
    said = f"{type(error).__name__}: {error}"
    return {"failed": True, "changed": False, "msg": hide_secrets(f"The tool itself failed: {said}. Report this.")}


def _planned(contract: Contract, guest: Guest, plan: Plan, change: Change | None) -> Answer:
    differences = [str(one) for one in plan.differences if one.guest == guest.name]
    told = [f"differs, left alone: {difference}" for difference in differences]
    return {
        "changed": change is not None,
        "msg": f"{change.kind} VM {guest.vmid}: {change.detail}" if change else f"VM {guest.vmid} is there",
        "kind": change.kind if change else None,
        "vmid": guest.vmid,
        "mac": guest.nic.mac,
        "address": str(guest.nic.address.ip),
        "differences": differences,
        **({"diff": _diff(contract, guest, change)} if change else {}),
        **({"warnings": warnings} if (warnings := [*plan.warnings, *told]) else {}),
    }


def _done(planned: Answer, result: GuestResult) -> Answer:
    said: Answer = {
        "outcome": result.outcome,
        "seconds": result.seconds,
        "upids": result.upids,
        "retries": result.retries,
        "identity_by": result.identity_by,
    }
    warnings = [*planned.get("warnings", []), *result.warnings]
    told = {"warnings": warnings} if warnings else {}
    if result.outcome == "failed":
        why = str(result.error or "It was stopped before its turn; run the same command again.")
        # Nothing was made when no task of PVE's was begun for it.
        return {**planned, **said, **told, "failed": True, "changed": bool(result.upids), "msg": hide_secrets(why)}
    took = f"{result.outcome} in {sum(result.seconds.values()):.1f} s"
    return {**planned, **said, **told, "msg": f"VM {result.vmid}: {took}"}


def _diff(contract: Contract, guest: Guest, change: Change) -> dict[str, str]:
    where = f"{guest.name} (VM {guest.vmid} on {contract.hypervisor.name})"
    if change.kind == "create":
        before, after = "", _render(_declared(guest, change))
    else:
        before, after = _render({"state": change.detail}), _render({"state": "finished, running and proven"})
    return {"before_header": where, "after_header": where, "before": before, "after": after}


def _declared(guest: Guest, change: Change) -> dict[str, Any]:
    """The VM as it will be, in PVE's own keys where it has them."""
    return {
        "vmid": int(guest.vmid),
        "name": guest.name,
        "clone": str(change.clone),
        "memory": guest.memory_mib,
        "cores": guest.cores,
        guest.nic.slot: wire.render_nic(guest.nic),
        "address": str(guest.nic.address.ip),
        "onboot": True,
        "startup": wire.render_startup(guest.start_order, guest.start_delay_s),
        "protection": True,
        "tags": wire.render_tags(tags_of(guest)),
        "state": "running",
    }


def _render(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, width=200)
