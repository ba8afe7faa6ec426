"""Make the clone itself: own hostname, machine-id and SSH host keys, and pin those keys over a channel we trust."""

from __future__ import annotations

from harness.engine.job import Job
from harness.errors import HarnessError, Refused, TimedOut, Unreachable, Untrusted
from harness.pve import agent
from harness.pve.agent import AgentForbids, AgentSilent
from harness.pve.errors import Locked
from harness.remote.known_hosts import HostKey
from harness.remote.personalise import Outcome, parse_outcome
from harness.wait import wait_until

SCRIPT_DEADLINE_S = 60.0
AGENT_TRIES = 4
NEW_KEYS_DEADLINE_S = 20.0


def personalise(job: Job) -> None:
    outcome = _through_agent(job) or _over_ssh(job)
    keys = frozenset(outcome.host_keys)
    _wait_for_keys(job, keys)
    job.looks.pin(job.guest, keys)
    job.result.machine_id = outcome.machine_id
    job.result.host_keys = tuple(str(key) for key in sorted(keys))


def _over_ssh(job: Job) -> Outcome:
    """First contact: the host keys seen now are the template's, or already its own when only an answer was lost."""
    shown = job.looks.host_keys(job.guest, frozenset())
    outcome = parse_outcome(job.looks.run_by_ssh(job.guest, shown, job.looks.script(job.guest)))
    job.result.identity_by = "ssh"
    return outcome


def _through_agent(job: Job) -> Outcome | None:
    """None when the agent may not do this: then SSH is the way."""
    script = job.looks.script(job.guest)
    for attempt in range(1, AGENT_TRIES + 1):
        job.check()
        try:
            ended = agent.run_script(
                job.writer, job.node, job.guest.vmid, script, deadline_s=SCRIPT_DEADLINE_S, check=job.check
            )
        except (AgentForbids, Refused) as error:
            job.note("identity", f"not through the agent ({error.happened}): over SSH")
            return None
        except (AgentSilent, Locked) as error:
            # The script changes nothing the second time, so it may be sent again when its answer was lost.
            if attempt == AGENT_TRIES:
                job.note("identity", f"the agent does not answer ({error.happened}): over SSH")
                return None
            job.retried("identity", error.happened)
            continue
        job.result.identity_by = "agent"
        if ended.exit_code != 0:
            raise HarnessError(
                tried="give the clone its own identity through the guest agent",
                on=job.on,
                happened=f"the script ended with {ended.exit_code}: {' '.join((ended.err or ended.out).split()[-20:])}",
                do="Look into the guest, then run the same command again",
            )
        return parse_outcome(ended.out)
    return None


def _wait_for_keys(job: Job, keys: frozenset[HostKey]) -> None:
    """sshd restarts with the new keys; whoever shows others at that address is not this guest."""
    types = frozenset(key.type for key in keys)

    def look() -> tuple[frozenset[HostKey] | None, str]:
        job.check()
        try:
            shown = job.looks.host_keys(job.guest, types)
        except Unreachable as error:
            return None, error.happened
        return (shown if shown and shown <= keys else None), ", ".join(key.fingerprint for key in sorted(shown))

    waited = wait_until(look, deadline_s=NEW_KEYS_DEADLINE_S)
    job.result.seen["host key"] = waited.last_seen
    if waited.value is not None:
        return
    expected = ", ".join(key.fingerprint for key in sorted(keys))
    kind: type[HarnessError] = TimedOut
    do = "Look at sshd's log in the guest"
    if "SHA256:" in waited.last_seen:
        kind, do = Untrusted, "Find out whether another machine has this address"
    raise kind(
        tried=f"see the guest's own host keys at {job.guest.nic.address.ip}",
        on=job.on,
        happened=f"the guest says {expected}, the address shows {waited.last_seen}",
        do=f"{do}; then run the same command again",
    )
