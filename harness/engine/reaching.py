"""Wait until the guest is there with its declared MAC, address and SSH, and name the link that broke when it is not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from harness.engine.job import Job
from harness.errors import HarnessError, Refused, TimedOut, Unreachable
from harness.pve import agent
from harness.pve.agent import AgentForbids, AgentSilent
from harness.wait import wait_until

# Before sshd answers, the agent is asked only now and then: a silent one costs PVE three seconds each time.
AGENT_PATIENCE_S = 3.0
# One that answers does so at once: where sshd does, the agent's turn comes after that of a few other guests.
AGENT_TURN_S = 0.3
STATUS_EVERY_S = 2.0
LOOK_PAUSE_S = 0.5


@dataclass
class Signals:
    """What each signal last showed; the chain is read from the first to the last."""

    running: str = "not looked yet"
    agent: str = "not asked yet"
    mac: str = "not seen"
    address: str = "not seen"
    lease: str | None = None
    sshd: str = "not asked yet"
    proven: set[str] = field(default_factory=set)
    agent_usable: bool = True
    status_asked_s: float = 0.0  # when, since the wait began

    def broken_link(self) -> str:
        """The first link of task -> running -> agent -> MAC -> address -> sshd that was not seen."""
        order = ("running", "agent", "mac", "address", "sshd")
        return next((link for link in order if link not in self.proven), "sshd")

    def as_dict(self) -> dict[str, str]:
        seen = {
            "running": self.running,
            "agent": self.agent,
            "mac": self.mac,
            "address": self.address,
            "sshd": self.sshd,
        }
        return seen | ({"lease": self.lease} if self.lease is not None else {})

    def __str__(self) -> str:
        return "; ".join(f"{name}: {seen}" for name, seen in self.as_dict().items())


ADVICE = {
    "running": "Look at the VM's console and at the node's task list",
    "agent": "The guest does not boot, or its template has no guest agent: look at the VM's console",
    "mac": "The guest does not show the declared NIC: look at its network settings on the console",
    "address": "Look at the router: is its DHCP server running, and does it hold the reservation for this MAC?",
    "sshd": "The guest has its address: look at sshd and the firewall in it",
}


def reach(job: Job) -> None:
    """Return once the declared MAC is known to have the declared address and sshd answers there."""
    signals = Signals()
    began = time.monotonic()
    tell = job.wait_text("reach")

    def look() -> tuple[bool | None, str]:
        job.check()
        if "sshd" not in signals.proven:  # each look costs a booting guest a process, and its keys are asked for later
            _look_at_sshd(job, signals)
        waited = time.monotonic() - began
        if "address" not in signals.proven:
            _look_at_agent(job, signals, urgent="sshd" in signals.proven or waited > AGENT_PATIENCE_S)
        _look_at_status(job, signals, waited)
        _look_at_lease(job, signals, waited)
        tell(str(signals))
        return (True if {"sshd", "address"} <= signals.proven else None), str(signals)

    with job.looks.awaits(job.guest):
        waited = wait_until(look, deadline_s=job.shared.contract.guest_deadline_s, longest_pause_s=LOOK_PAUSE_S)
    if waited.value is None:
        raise _too_late(job, signals, waited.seconds)
    job.result.seen.update(signals.as_dict())


def _look_at_sshd(job: Job, signals: Signals) -> None:
    try:
        signals.sshd = job.looks.banner(job.guest)
        signals.proven.add("sshd")
    except Unreachable as error:
        signals.sshd = error.happened


def _look_at_agent(job: Job, signals: Signals, *, urgent: bool) -> None:
    if not signals.agent_usable or not urgent:
        return
    if not job.shared.agent_turn.acquire(timeout=AGENT_TURN_S if "sshd" in signals.proven else 0):
        return
    try:
        nics = agent.read_nics(job.writer, job.node, job.guest.vmid)
    except AgentSilent as error:
        signals.agent = error.happened
        return
    except (AgentForbids, Refused) as error:
        signals.agent, signals.agent_usable = error.happened, False
        return
    finally:
        job.shared.agent_turn.release()
    signals.agent, signals.running = "answers", "running"
    signals.proven.update({"agent", "running"})
    mine = [nic for nic in nics if nic.mac == job.guest.nic.mac]
    if not mine:
        signals.mac = f"the guest has {', '.join(nic.mac for nic in nics) or 'no NIC'}"
        return
    signals.mac = f"{mine[0].mac} on {mine[0].name}"
    signals.proven.add("mac")
    held = [address for nic in mine for address in nic.addresses]
    signals.address = ", ".join(held) or "none yet"
    if str(job.guest.nic.address) in held:
        signals.proven.add("address")


def _look_at_status(job: Job, signals: Signals, waited_s: float) -> None:
    """Only while nothing else shows that it lives: a guest that died at once must not cost the whole deadline."""
    if signals.proven & {"sshd", "agent"} or waited_s - signals.status_asked_s < STATUS_EVERY_S:
        return
    signals.status_asked_s = waited_s
    vm = job.read()
    signals.running = vm.status if vm is not None else "gone"
    if signals.running == "running":
        signals.proven.add("running")
        return
    raise HarnessError(
        tried="wait for the guest",
        on=job.on,
        happened=f"it is {signals.running} again {waited_s:.0f} s after its start",
        do="Look at the node's task list and the VM's console, then run the same command again",
    )


def _look_at_lease(job: Job, signals: Signals, waited_s: float) -> None:
    """The router's word for MAC and address: for a guest whose agent may not be asked, or stays silent though sshd
    answers."""
    given_up = not signals.agent_usable or ("agent" not in signals.proven and waited_s > job.shared.agent_grace_s)
    if job.looks.lease is None or "address" in signals.proven or not given_up:
        return
    try:
        leased = job.looks.lease(job.guest)
    except HarnessError as error:
        signals.lease = f"could not be asked for ({error.happened})"
        return
    signals.lease = leased or "none for this MAC"
    if leased == str(job.guest.nic.address.ip) and "sshd" in signals.proven:
        signals.mac = f"{job.guest.nic.mac}, by the router's lease"
        signals.address = leased
        signals.proven.update({"running", "agent", "mac", "address"})


def _too_late(job: Job, signals: Signals, seconds: float) -> TimedOut:
    link = signals.broken_link()
    return TimedOut(
        tried=f"reach the guest at {job.guest.nic.address.ip}",
        on=job.on,
        happened=f"after {seconds:.0f} s the chain breaks at {link} ({signals})",
        do=ADVICE[link] + "; then run the same command again: it goes on from there",
    )
