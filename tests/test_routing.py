"""An apply refuses first, writes once, and leaves either what is proven or what was there before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness.contract import Contract, Mac, Reservation
from harness.core_router import require_reservations
from harness.engine.proving import Promise, ServiceLooks, promises_of, prover
from harness.engine.routing import apply, unfinished_of
from harness.errors import HarnessError, TimedOut, Unreachable, Unsafe
from harness.routers import Comparison, CoreRouter, ObservedRouter, compare, open_router
from harness.routers.dnsmasq import RESERVATIONS_FILE, main_file, render
from tests.routers.namespace import Namespace, started_router, what_is_missing
from tests.routers.values import ADDRESSES, DOMAIN, MACS, contract

WANTED = Reservation(MACS["metrics-vm01"], IPv4Address(ADDRESSES["metrics-vm01"]), "metrics-vm01")
NO_PROOF = TimedOut(tried="prove the service", on="core-rt01", happened="it is silent", do="Look there")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Namespace]:
    """A dnsmasq without the metrics VM's reservation."""
    missing = what_is_missing()
    if missing:
        pytest.skip(missing)
    plain = contract()
    lacking = replace(plain, reservations=tuple(one for one in plain.reservations if one != WANTED))
    conf = f"--conf-file={main_file('lab')}"
    with started_router(tmp_path, render(lacking), conf, address="198.18.99.1/24") as started:
        yield started


@pytest.fixture
def router(running: Namespace) -> Iterator[CoreRouter]:
    with open_router(contract(), shell=running.run) as opened:
        yield opened


def proven(_: bool) -> Callable[[Comparison], str]:
    return lambda _: "served"


def failing(error: BaseException) -> Callable[[bool], Callable[[Comparison], str]]:
    def prove(_: bool) -> Callable[[Comparison], str]:
        def raise_it(_: Comparison) -> str:
            raise error

        return raise_it

    return prove


def site(tmp_path: Path) -> Contract:
    return replace(contract(), state_dir=tmp_path / "state")


def held(router: CoreRouter) -> set[Reservation]:
    return set(router.observe().reservations)


def test_what_is_proven_stays(router: CoreRouter, tmp_path: Path) -> None:
    done = apply(site(tmp_path), router, prove=proven, report=pytest.fail)
    assert (done.written, done.proof) == (True, "served")
    assert WANTED in held(router)
    assert unfinished_of(site(tmp_path)).read() is None
    assert not apply(site(tmp_path), router, prove=proven, report=pytest.fail).written


def test_what_is_not_proven_goes_again_and_that_is_said(router: CoreRouter, tmp_path: Path) -> None:
    before = router.snapshot()
    with pytest.raises(TimedOut, match="it is silent; the state before is back on core-rt01"):
        apply(site(tmp_path), router, prove=failing(NO_PROOF), report=pytest.fail)
    assert router.snapshot() == before
    assert unfinished_of(site(tmp_path)).read() is None


def test_an_interrupt_puts_back_and_goes_on_as_an_interrupt(router: CoreRouter, tmp_path: Path) -> None:
    before, said = router.snapshot(), list[str]()
    with pytest.raises(KeyboardInterrupt):
        apply(site(tmp_path), router, prove=failing(KeyboardInterrupt()), report=said.append)
    assert router.snapshot() == before
    assert said[-1] == "The state before is back on core-rt01"


def test_who_does_not_agree_gets_no_write(router: CoreRouter, tmp_path: Path) -> None:
    before = router.snapshot()
    done = apply(site(tmp_path), router, prove=proven, report=pytest.fail, agree=lambda _: False)
    assert (done.written, router.snapshot()) == (False, before)


def test_a_conflict_stops_before_anything(router: CoreRouter, running: Namespace, tmp_path: Path) -> None:
    running.run(f"echo '02:de:99:7f:00:02,{WANTED.address},thief' >>{RESERVATIONS_FILE}")
    before = router.snapshot()
    with pytest.raises(Unsafe, match=r"\(thief\), which the inventory does not declare; nothing was changed"):
        apply(site(tmp_path), router, prove=proven, report=pytest.fail)
    assert router.snapshot() == before
    assert not unfinished_of(site(tmp_path)).path.exists()


def test_a_router_that_cannot_be_put_back_keeps_the_note(
    router: CoreRouter, running: Namespace, tmp_path: Path
) -> None:
    """Whoever comes next begins with it."""
    before = router.snapshot()

    def prove(_: bool) -> Callable[[Comparison], str]:
        def break_it(_: Comparison) -> str:
            running.run(f"mv {main_file('lab')} /run/away; echo nonsense >{main_file('lab')}")
            raise NO_PROOF

        return break_it

    with pytest.raises(HarnessError, match=r"put the state before back.*This followed on: .*it is silent"):
        apply(site(tmp_path), router, prove=prove, report=pytest.fail)
    noted = unfinished_of(site(tmp_path))
    assert json.loads(noted.path.read_text())["snapshot"] == before
    assert noted.path.stat().st_mode & 0o777 == 0o600
    running.run(f"mv /run/away {main_file('lab')}")
    said: list[str] = []
    apply(site(tmp_path), router, prove=proven, report=said.append)
    assert "was cut off" in said[0]
    assert WANTED in held(router)


def test_provision_is_refused_only_for_its_own_guests(router: CoreRouter, tmp_path: Path) -> None:
    require_reservations(site(tmp_path), router, {"logs-vm01"})
    with pytest.raises(Unsafe, match=r"reservation of metrics-vm01 .*; nothing was created\. \./invoke router\.apply"):
        require_reservations(site(tmp_path), router, {"metrics-vm01"})


# --- the proof, as a function of what is answered ---------------------------------------------------------------------

BRIDGES = {str(one.address): "vmbr0" for one in contract().reservations}


def answering(**wrong: str) -> ServiceLooks:
    """A service that gives every declared answer, but these."""
    wanted = {promise: promise.wanted for promise in promises_of(contract(), {})}
    given = {(promise.kind == "PTR", promise.subject): answer for promise, answer in wanted.items()}
    given |= {(False, name.replace("_", ".")): answer for name, answer in wrong.items()}

    def answers(reverse: bool) -> Callable[[str], list[str]]:
        return lambda name: [answer] if (answer := given.get((reverse, name), "")) else []

    return ServiceLooks(None, answers(False), answers(True))


def changed(*hosts: str) -> Comparison:
    """What lacked the records of these hosts."""
    plain = contract()
    there = tuple(one for one in plain.records if one.name.partition(".")[0] not in hosts)
    return compare(plain, ObservedRouter(plain.reservations, (), there, ()), now=0.0)


def test_everything_that_is_answered_is_counted() -> None:
    proof = prover(contract(), answering(), False)(changed())
    assert proof == "0 DHCP offers on the hypervisor's bridge, 15 DNS answers"


def test_what_was_changed_must_be_served() -> None:
    looks = answering(**{f"logs-vm01.{DOMAIN}".replace(".", "_"): "198.18.99.99"})
    prove = prover(contract(), looks, False, deadline_s=0)
    with pytest.raises(TimedOut, match=rf"A logs-vm01\.{DOMAIN}: expected 198\.18\.99\.31, seen 198\.18\.99\.99"):
        prove(changed("logs-vm01"))


def test_what_was_wrong_before_is_no_fault_of_the_change() -> None:
    looks = answering(**{f"logs-vm01.{DOMAIN}".replace(".", "_"): "198.18.99.99"})
    assert "14 DNS answers" in prover(contract(), looks, False, deadline_s=0)(changed("metrics-vm01"))


def test_what_was_right_before_must_stay_so() -> None:
    given = ["198.18.99.30"]
    looks = replace(answering(), resolve_a=lambda name: given if name == f"metrics-vm01.{DOMAIN}" else [])
    prove = prover(contract(), looks, False, deadline_s=0)
    given.clear()
    with pytest.raises(TimedOut, match=rf"A metrics-vm01\.{DOMAIN}: expected 198\.18\.99\.30, seen nothing"):
        prove(changed())


def test_held_to_everything_a_silent_service_is_no_proof() -> None:
    def silent(_: str) -> list[str]:
        raise Unreachable(tried="resolve", on="198.18.99.1", happened="no answer", do="Look there")

    with pytest.raises(TimedOut, match=r"seen no answer.*\(and 12 more\)"):
        prover(contract(), ServiceLooks(None, silent, silent), True, deadline_s=0)(changed())


def test_offers_are_asked_of_the_bridge_on_the_segment() -> None:
    plain = contract()
    promises = [one for one in promises_of(plain, BRIDGES) if one.kind == "offer"]
    assert Promise("offer", Mac("02:de:99:01:01:01"), "198.18.99.30", "metrics-vm01") in promises
    assert len(promises) == len(plain.reservations)
