"""Bring the core router to what the inventory says: refuse first, write once, prove it on the wire, or put all back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.contract import Contract
from harness.core_router import compare_now
from harness.errors import HarnessError, Refused, Unsafe
from harness.interrupts import uninterrupted
from harness.locking import site_lock
from harness.routers import Comparison, CoreRouter, Snapshot, is_back

Report = Callable[[str], None]
# Called before a write; what it returns is called after it, and raises HarnessError when what was changed is not
# served, or what was served before is not any more. With True it holds the service to everything declared.
Prove = Callable[[bool], Callable[[Comparison], str]]


@dataclass(frozen=True)
class Applied:
    """What became of an apply; `proof` says what was asked of the service afterwards."""

    comparison: Comparison
    written: bool
    proof: str
    seconds: float


def apply(
    contract: Contract,
    router: CoreRouter,
    *,
    prove: Prove,
    report: Report,
    agree: Callable[[Comparison], bool] = lambda _: True,
) -> Applied:
    """The router as the inventory declares it; `agree` is asked before the first write."""
    began = time.monotonic()
    with site_lock(contract.state_dir, contract.site):
        unfinished = unfinished_of(contract)
        _settle(contract, router, unfinished, prove, report)
        found = compare_now(contract, router)
        refuse(contract, found)
        if found.changes_nothing or not agree(found):
            return Applied(found, False, "", time.monotonic() - began)
        prove_change, before = prove(False), Before(router.snapshot(), held_by(router))
        unfinished.write(before)
        with _put_back_on_failure(contract, router, before, unfinished, report):
            router.write(found.changes)
            after = compare_now(contract, router)
            if not after.changes_nothing:
                raise _not_taken(contract, after)
            proof = prove_change(found)
        unfinished.remove()
    return Applied(found, True, proof, time.monotonic() - began)


def refuse(contract: Contract, found: Comparison) -> None:
    """Unsafe with everything that stands in the way."""
    if found.stops:
        raise Unsafe(
            tried="change the router",
            on=contract.router.name,
            happened="; ".join(f"{one.what}: expected {one.expected}, seen {one.seen}" for one in found.stops)
            + "; nothing was changed",
            do="; ".join(dict.fromkeys(one.do for one in found.stops)),
        )


@dataclass(frozen=True)
class Before:
    """What the router held before a write, in plain JSON: for the router itself, and to compare it by."""

    snapshot: Snapshot
    held: list[str]


def held_by(router: CoreRouter) -> list[str]:
    """Entries alone: an entry that was put back may have got another number there."""
    seen = router.observe()
    reservations = (f"{one.mac} {one.address} {one.name}" for one in seen.reservations)
    return sorted([*reservations, *(f"{one.type} {one.name} {one.target}" for one in seen.records)])


@dataclass(frozen=True)
class Unfinished:
    """What the router held before a write that is not proven yet, on disk: whoever comes next can put it back."""

    path: Path

    def write(self, before: Before) -> None:
        try:
            handle = os.open(self.path.with_suffix(".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w") as stream:
                json.dump({"at": time.time(), **asdict(before)}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            self.path.with_suffix(".new").replace(self.path)
        except OSError as error:
            raise Refused(
                tried="note what the router holds",
                on=str(self.path),
                happened=str(error),
                do="Make the state folder writable (MGMT_HARNESS_STATE names another one)",
            ) from error

    def read(self) -> tuple[float, Before] | None:
        """When it was written, and what the router held; None when no write was cut off."""
        if not self.path.exists():
            return None
        noted = json.loads(self.path.read_text())
        return noted["at"], Before(noted["snapshot"], noted["held"])

    def remove(self) -> None:
        self.path.unlink()


def unfinished_of(contract: Contract) -> Unfinished:
    return Unfinished(contract.state_dir / "router-apply.json")


def _settle(contract: Contract, router: CoreRouter, unfinished: Unfinished, prove: Prove, report: Report) -> None:
    """An earlier run that was killed: finish what it wrote when that is whole and proven, put back all else."""
    noted = unfinished.read()
    if noted is None:
        return
    at, before = noted
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    found = compare_now(contract, router)
    if found.changes_nothing and not found.stops:
        try:
            proof = prove(True)(found)
        except HarnessError as error:
            report(f"The apply of {when} was cut off, and what it wrote is not served: {error}")
        else:
            report(f"The apply of {when} was cut off after its write; it is whole, and proven now: {proof}")
            unfinished.remove()
            return
    _put_back(contract, router, before, unfinished)
    report(f"The apply of {when} was cut off; the state before it is back on {contract.router.name}")


@contextmanager
def _put_back_on_failure(
    contract: Contract, router: CoreRouter, before: Before, unfinished: Unfinished, report: Report
) -> Iterator[None]:
    try:
        yield
    except HarnessError as error:
        _put_back(contract, router, before, unfinished, error)
        raise type_of(error)(
            tried=error.tried,
            on=error.on,
            happened=f"{error.happened.rstrip('.')}; the state before is back on {contract.router.name}",
            do=error.do,
        ) from error
    except KeyboardInterrupt:
        report(f"Stopping: the state before is being put back on {contract.router.name}")
        _put_back(contract, router, before, unfinished)
        report(f"The state before is back on {contract.router.name}")
        raise


def type_of(error: HarnessError) -> Callable[..., HarnessError]:
    """Its class, where that can be made from the four parts alone."""
    return type(error) if type(error).__init__ is HarnessError.__init__ else HarnessError


def _put_back(
    contract: Contract,
    router: CoreRouter,
    before: Before,
    unfinished: Unfinished,
    first: HarnessError | None = None,
) -> None:
    """Put back and look: said is only what was seen. While it fails, the note stays for the next run."""
    try:
        with uninterrupted():  # a second Ctrl-C must not cut off what the first one began
            if first is None or not is_back(first):  # each time may cost a restart
                router.restore(before.snapshot)
            now = held_by(router)
    except HarnessError as error:
        raise HarnessError(
            tried="put the state before back",
            on=contract.router.name,
            happened=f"{error}" + (f" This followed on: {first}" if first else ""),
            do=f"Run {contract.invoke('router.apply')} as soon as the router answers: it begins by putting that state "
            "back",
        ) from error
    if now != before.held:
        raise HarnessError(
            tried="put the state before back",
            on=contract.router.name,
            happened="it does not hold what it held before" + (f". This followed on: {first}" if first else ""),
            do=f"Compare it with {unfinished.path}, and run {contract.invoke('router.apply')} again",
        )
    unfinished.remove()


def _not_taken(contract: Contract, after: Comparison) -> HarnessError:
    first, *others = (one for one in after.differences if one.about != "lease")
    return HarnessError(
        tried="change the router",
        on=contract.router.name,
        happened=f"it took the change and still differs: {first}" + (f" (and {len(others)} more)" if others else ""),
        do="Look at what else writes there",
    )
