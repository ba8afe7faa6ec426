"""Learn the host keys of guests that another machine made, through the hypervisor we trust instead of from the wire."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Contract, Guest
from harness.engine.looks import GuestLooks
from harness.errors import HarnessError
from harness.plan import Plan
from harness.pve import agent
from harness.pve.client import Client
from harness.remote.known_hosts import HostKey, parse_key

KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub"


def unlearned(contract: Contract, plan: Plan, looks: GuestLooks) -> tuple[Guest, ...]:
    """The complete guests whose key this machine does not know."""
    changed = {change.guest for change in plan.changes}
    stopped = {difference.guest for difference in plan.differences if difference.key == "status"}
    return tuple(
        guest for guest in contract.guests if guest.name not in changed | stopped and not looks.is_pinned(guest)
    )


def learn_keys(contract: Contract, plan: Plan, client: Client, looks: GuestLooks) -> Iterator[str]:
    """One sentence for each of them; reads only."""
    for guest in unlearned(contract, plan, looks):
        yield _learn(contract, guest, client, looks)


def _learn(contract: Contract, guest: Guest, client: Client, looks: GuestLooks) -> str:
    try:
        key = parse_key(agent.read_file(client, contract.hypervisor.node, guest.vmid, KEY_FILE))
        shown = looks.host_keys(guest, frozenset({key.type}))
    except HarnessError as error:
        return f"{guest.name}: its SSH host key is not known on this machine and could not be learned: {error}"
    if key not in shown:
        return f"{guest.name}: the guest says its SSH host key is {key.fingerprint}, its address shows {_said(shown)}"
    looks.pin(guest, frozenset({key}))
    return f"{guest.name}: learned its SSH host key {key.fingerprint} through the guest agent"


def _said(keys: frozenset[HostKey]) -> str:
    return ", ".join(key.fingerprint for key in sorted(keys)) or "none"
