"""Begin what the first change of a run waits for, while the rest of the tool is still being loaded.

Nothing of it changes a VM: the site's locks, what the core router holds for the new guests, and who answers at their
addresses. What turns out not to be needed is let go of at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager
from functools import partial

from harness import probe, routers
from harness.ahead import Ahead
from harness.contract import Contract, Guest
from harness.core_router import ask_for_reservations
from harness.locking import EarlyLock, run_lock
from harness.remote import known_hosts, ssh
from harness.remote.holding import holding

PROBE_LIMIT_S = 1.0
# As many addresses as guests are made at once.
ADDRESSES = 10


def begin(contract: Contract, only: Set[str] | None = None) -> HeadStart:
    """For the guests in `only`, or all.

    One that this machine has never met is to be made, or to be learned: only then will the locks be needed for sure.
    """
    asked = (guest for guest in contract.guests if only is None or guest.name in only)
    return HeadStart(contract, [guest for guest in asked if not is_pinned(contract, guest)])


class HeadStart:
    """What was begun for these guests, to be used or not; with none of them, nothing is."""

    def __init__(self, contract: Contract, guests: Sequence[Guest]) -> None:
        self.names = frozenset(guest.name for guest in guests)
        self.ahead = Ahead()
        self._contract = contract
        self._lock: EarlyLock | None = None
        if guests:
            self._begin(guests)

    def __enter__(self) -> HeadStart:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.drop()
        self.ahead.settle()

    def lock(self, note: Callable[[str], None]) -> AbstractContextManager[None]:
        """The site's locks, held by the time the block begins."""
        return self._lock.held(note) if self._lock is not None else _lock(self._contract, note)

    def _begin(self, guests: Sequence[Guest]) -> None:
        self._lock = EarlyLock(partial(_lock, self._contract))
        if routers.is_readable(self._contract):
            self.ahead.ask(self.names, partial(ask_for_reservations, self._contract, self.names))
        for guest in guests[:ADDRESSES]:
            self.ahead.ask(guest.name, partial(holder_of, guest))


def holder_of(guest: Guest) -> str | None:
    """How something that already has the guest's address shows itself; None when nothing does."""
    return probe.answers_at(str(guest.nic.address.ip), PROBE_LIMIT_S, guest.nic.mac)


def is_pinned(contract: Contract, guest: Guest) -> bool:
    """Whether this machine knows the guest's own host key."""
    files = (*contract.known_hosts, contract.state_dir / "known_hosts")
    return bool(known_hosts.look_up(files, guest.name, port=guest.ssh.port))


def hold_on_hypervisor(contract: Contract, command: str) -> AbstractContextManager[str]:
    """Run `command` on the hypervisor until the block is left; its first line."""
    return holding(ssh.hypervisor_login(contract), command)


def _lock(contract: Contract, note: Callable[[str], None]) -> AbstractContextManager[None]:
    return run_lock(contract, partial(hold_on_hypervisor, contract), note)
