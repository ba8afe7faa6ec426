"""Prove a template on a scratch clone of it: boot it, look at it from all sides, and take it away again."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.contract import Guest, Template
from harness.engine.cloning import clone
from harness.engine.events import Event, GuestResult
from harness.engine.job import Job, Shared
from harness.engine.observe import observe
from harness.engine.starting import require_free, start
from harness.errors import HarnessError, Unreachable, Unsafe
from harness.observed import ObservedGuest
from harness.plan.changes import Change, Refusal
from harness.plan.fitness import CHECKS, CloneFacts, Finding, judge_disk, judge_facts
from harness.plan.templates import clone_of, disk_bytes
from harness.remote.known_hosts import HostKey
from harness.templates import scratch
from harness.templates.bench import Bench
from harness.wait import wait_until

SCRIPT = Path(__file__).with_name("clone_facts.sh")
# Once sshd answers, the rest of the guest has had its time: what is silent for this long stays silent.
AFTER_SSHD_S = 20.0
_LINE = re.compile(r"^mgmt-harness ([a-z-]+)=(.*)$", re.MULTILINE)


@dataclass
class Seen:
    """What the running clone has shown so far; None is silence."""

    keys: frozenset[HostKey] | None = None
    agent: bool = False
    address: bool = False
    said: str = "no answer"
    sshd_at: float | None = None
    sshd_said: str = "no answer"

    @property
    def is_whole(self) -> bool:
        return bool(self.keys and self.agent and self.address)


def prove(bench: Bench, template: Template, vm: ObservedGuest) -> Sequence[Finding]:
    """One finding for each check, in their order; the clone is gone when this returns or raises."""
    guest = scratch.scratch_guest(bench.contract, template)
    job = _job(bench, guest, vm)
    scratch.clear(bench, job)
    try:
        found = [judge_disk(template, disk_bytes(vm)), *_look_at_clone(bench, job)]
    except BaseException as error:
        _clear_after(bench, job, error)
        raise
    scratch.clear(bench, job)
    return sorted(found, key=lambda finding: CHECKS.index(finding.check))


def _clear_after(bench: Bench, job: Job, error: BaseException) -> None:
    """What goes wrong while cleaning up is said beside the first error, not instead of it."""
    try:
        scratch.clear(bench, job)
    except HarnessError as second:
        bench.say(f"The test clone could not be removed either: {second}")
        error.add_note(str(second))


def _job(bench: Bench, guest: Guest, vm: ObservedGuest) -> Job:
    choice = clone_of(bench.contract, guest, vm, observe(bench.contract, bench.reader))
    if isinstance(choice, Refusal):
        raise Unsafe(tried="test a template", on=f"VM {vm.vmid}", happened=choice.reason, do=choice.do)

    def tell(event: Event) -> None:
        if event.state == "note":
            bench.say(f"{guest.name}: {event.text}")

    shared = Shared(bench.contract, bench.writer, bench.looks, bench.journal, tell, agent_grace_s=0.0)
    change = Change(guest.name, guest.vmid, "create", str(choice), choice)
    return Job(shared, guest, change, GuestResult(guest.name, guest.vmid))


def _look_at_clone(bench: Bench, job: Job) -> list[Finding]:
    bench.say(f"Making the test clone {job.on}: {job.change.detail}")
    clone(job)
    vm = scratch.configure(bench, job.guest)
    require_free(job, vm)
    start(job, vm)
    bench.say(f"Waiting for it at {job.guest.nic.address.ip}")
    seen = _watch(bench, job.guest)
    agent = Finding("agent", seen.agent, "answers" if seen.agent else f"silent ({seen.said})")
    return [agent, _judge_dhcp(bench, job.guest, seen), *_judge_inside(bench, job.guest, seen)]


def _watch(bench: Bench, guest: Guest) -> Seen:
    seen = Seen()

    def look() -> tuple[bool | None, str]:
        _look_by_ssh(bench, guest, seen)
        _look_by_agent(bench, guest, seen)
        waited = time.monotonic() - seen.sshd_at if seen.sshd_at is not None else 0.0
        return (True if seen.is_whole or waited > AFTER_SSHD_S else None), seen.said

    wait_until(look, deadline_s=bench.contract.guest_deadline_s)
    return seen


def _look_by_ssh(bench: Bench, guest: Guest, seen: Seen) -> None:
    try:
        seen.sshd_said = bench.looks.banner(guest)
        seen.keys = bench.looks.host_keys(guest, frozenset()) or None
    except Unreachable as error:
        seen.sshd_said = error.happened
        return
    if seen.sshd_at is None:
        seen.sshd_at = time.monotonic()


def _look_by_agent(bench: Bench, guest: Guest, seen: Seen) -> None:
    try:
        nics = bench.agent.nics(guest.vmid)
    except HarnessError as error:
        seen.said = error.happened
        return
    seen.agent = True
    held = [address for nic in nics if nic.mac == guest.nic.mac for address in nic.addresses]
    seen.address = str(guest.nic.address) in held
    seen.said = ", ".join(held) or f"{', '.join(nic.mac for nic in nics) or 'no NIC'}, without an address"


def _judge_dhcp(bench: Bench, guest: Guest, seen: Seen) -> Finding:
    """By the guest's own word; where its agent is silent, by the router's lease and the sshd that answers there."""
    address = str(guest.nic.address.ip)
    if seen.address:
        return Finding("dhcp", True, f"{address}, as reserved for {guest.nic.mac}")
    if not seen.agent and seen.keys and bench.looks.lease is not None:
        try:
            leased = bench.looks.lease(guest)
        except HarnessError as error:
            return Finding("dhcp", False, f"the router could not be asked ({error.happened})")
        if leased == address:
            return Finding("dhcp", True, f"{address}, by the router's lease to {guest.nic.mac}")
    shown = seen.said if seen.agent else f"nobody at {address} ({seen.sshd_said})"
    return Finding("dhcp", False, f"reserved for {guest.nic.mac} is {address}, seen: {shown}")


def _judge_inside(bench: Bench, guest: Guest, seen: Seen) -> list[Finding]:
    """Whether the automation user gets in, and what is shared by all clones."""
    login, facts = _login(bench, guest, seen)
    if facts is None and seen.agent:
        try:
            facts = parse_facts(bench.agent.run(guest.vmid, SCRIPT.read_text()))
        except HarnessError as error:
            bench.say(f"{guest.name}: not through the agent either ({error.happened})")
    if facts is not None:
        return [login, *judge_facts(facts)]
    return [login, *(Finding(check, False, "could not be looked at") for check in CHECKS[-2:])]


def _login(bench: Bench, guest: Guest, seen: Seen) -> tuple[Finding, CloneFacts | None]:
    if not seen.keys:
        return Finding("login", False, f"no sshd ({seen.sshd_said})"), None
    try:
        facts = parse_facts(bench.looks.run_by_ssh(guest, seen.keys, SCRIPT.read_text()))
    except HarnessError as error:
        return Finding("login", False, f"{guest.ssh.user} does not get in: {error.happened}"), None
    return Finding("login", True, f"{guest.ssh.user} by key, root by sudo"), facts


def parse_facts(text: str) -> CloneFacts:
    """The script's account; HarnessError when it did not reach its end."""
    said: dict[str, list[str]] = {}
    for match in _LINE.finditer(text.replace("\r\n", "\n")):
        said.setdefault(match[1], []).append(match[2].strip())
    if said.get("facts") != ["whole"] or not said["booted"][0].isdigit():
        raise HarnessError(
            tried="look into the test clone",
            on="the guest",
            happened=f"the script ended early, last words: {' '.join(text.split()[-20:]) or 'none'}",
            do="Look at the clone's console",
        )
    keys = dict(line.split() for line in said.get("host-key", ()))
    machine_id = said.get("machine-id")
    return CloneFacts(
        booted_at=int(said["booted"][0]),
        machine_id_at=int(machine_id[0]) if machine_id else None,
        host_keys_at={name: int(at) for name, at in keys.items()},
    )
