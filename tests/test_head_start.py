"""What is begun ahead of a run holds others off, is used once it is needed, and is gone when it is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness import head_start
from harness.contract import Contract, Ssh
from harness.errors import Unsafe
from harness.locking import EarlyLock, run_lock, site_lock
from harness.remote import known_hosts
from harness.wait import wait_until
from tests import sites
from tests.remote.machine import Machine, started_machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Both the hypervisor and the router."""
    with started_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


@pytest.fixture
def contract(machine: Machine, tmp_path: Path) -> Contract:
    made = sites.contract(sites.guest(), state_dir=tmp_path / "here")
    login, address = machine.login, IPv4Address(machine.login.address)
    ssh = Ssh(login.user, login.port, login.identity_file, login.known_hosts[0])
    return replace(
        made,
        hypervisor=replace(made.hypervisor, name=login.name, address=address, ssh=ssh),
        router=replace(made.router, name=login.name, address=address, ssh=ssh),
    )


def lock_of_another_machine(contract: Contract) -> None:
    """Take the node's lock and let go of it again."""
    elsewhere = replace(contract, state_dir=contract.state_dir.parent / "elsewhere")
    with run_lock(elsewhere, partial(head_start.hold_on_hypervisor, elsewhere), pytest.fail):
        pass


def test_both_locks_are_held_while_they_are_needed(contract: Contract) -> None:
    with head_start.begin(contract) as start:
        with start.lock(pytest.fail):
            with pytest.raises(Unsafe, match="another run is at work"):
                lock_of_another_machine(contract)
            with pytest.raises(Unsafe, match="another run is at work"), site_lock(contract.state_dir, contract.site):
                pass
        lock_of_another_machine(contract)


def test_what_was_not_needed_is_let_go_of(contract: Contract) -> None:
    with head_start.begin(contract) as start:
        assert start.names == {"metrics-vm01"}
    lock_of_another_machine(contract)
    with site_lock(contract.state_dir, contract.site):
        pass


@pytest.mark.parametrize("only", [None, frozenset({"nosuch"})])
def test_where_every_guest_is_known_nothing_is_begun(
    contract: Contract, machine: Machine, only: frozenset[str] | None
) -> None:
    if only is None:
        known_hosts.pin(contract.state_dir / "known_hosts", "metrics-vm01", None, {machine.host_key})
    with head_start.begin(contract, only) as start:
        assert start.names == frozenset()
        assert not (contract.state_dir / "provision.lock").exists()
        with start.lock(pytest.fail), pytest.raises(Unsafe, match="another run is at work"):
            lock_of_another_machine(contract)


def test_a_lock_that_is_taken_by_others_is_an_error_only_to_who_needs_it(contract: Contract) -> None:
    with site_lock(contract.state_dir, contract.site):
        with head_start.begin(contract):
            pass
        with (
            head_start.begin(contract) as start,
            pytest.raises(Unsafe, match="another run is at work"),
            start.lock(pytest.fail),
        ):
            pytest.fail("it was not free")


def test_what_the_lock_notes_is_told_to_its_holder() -> None:
    @contextmanager
    def take(note: Callable[[str], None]) -> Iterator[None]:
        note("the node was not asked")
        yield

    told: list[str] = []
    with EarlyLock(take).held(told.append):
        assert told == ["the node was not asked"]


def test_a_lock_that_is_got_after_it_was_dropped_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.locking.GOODBYE_S", 0.01)
    answered, said = threading.Event(), list[str]()

    @contextmanager
    def take(_: Callable[[str], None]) -> Iterator[None]:
        answered.wait()
        said.append("held")
        yield
        said.append("free")

    EarlyLock(take).drop()
    assert said == []
    answered.set()
    assert wait_until(lambda: (True if said == ["held", "free"] else None, str(said)), deadline_s=5).value
