"""One simulated site, the wire its guests are on, and what the tests of the engine ask of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from harness.contract import Contract, Guest
from harness.engine.events import Event, Provisioned
from harness.engine.observe import make_plan
from harness.engine.provision import Limits, provision
from harness.errors import HarnessError
from harness.pve import read
from tests import sites
from tests.simulators import Simulated
from tests.wires import Wire

NAMES = ("metrics", "logs", "alerting", "dashboards", "factory")
GUESTS = tuple(sites.guest(f"{name}-vm01", at) for at, name in enumerate(NAMES))
METRICS, LOGS, ALERTING = GUESTS[:3]
QUICK = Limits(agent_grace_s=0.0)


@dataclass
class World:
    """One simulated site and the wire its guests are on."""

    simulated: Simulated
    contract: Contract
    wire: Wire
    events: list[Event]

    def provision(self, **changes: Any) -> Provisioned:
        arguments: dict[str, Any] = {"looks": self.wire.looks(), "report": self.events.append, "limits": QUICK}
        writer, reader = self.simulated.pair()
        client = changes.pop("client", None) or writer
        contract = changes.pop("contract", self.contract)
        return provision(contract, client, **(arguments | {"reader": reader} | changes))

    def config(self, vmid: int) -> dict[str, Any]:
        vm = read.read_guest(self.simulated.reader(), "hv01", vmid)
        assert vm is not None
        return dict(vm.config) | {"status": vm.status}

    def vmids(self) -> list[int]:
        return [vm.vmid for vm in read.read_guests(self.simulated.reader(), "hv01")]

    def plan_is_empty(self, *guests: str) -> bool:
        return make_plan(self.contract, self.simulated.reader(), set(guests) or None).empty


def world_of(simulated: Simulated, guests: tuple[Guest, ...] = GUESTS[:3]) -> World:
    contract = simulated.contract(*guests)
    wire = Wire(simulated.folder / "identities", simulated.reader(), contract.state_dir / "known_hosts")
    return World(simulated, contract, wire, [])


def only_error(done: Provisioned) -> HarnessError:
    (failed,) = done.failed
    assert failed.error is not None
    return failed.error


def assert_all_made(done: Provisioned) -> None:
    failed = "; ".join(f"{result.guest}: {result.error}" for result in done.failed)
    assert not failed, failed


def assert_refused(world: World, kind: type[HarnessError], words: str, **changes: Any) -> HarnessError:
    """Refused with these words, and not one write on the hypervisor."""
    before = world.vmids()
    world.simulated.control(op="reset-counters")
    with pytest.raises(kind, match=words) as caught:
        world.provision(**changes)
    assert world.simulated.writes() == 0
    assert world.vmids() == before
    assert caught.value.do
    return caught.value


def seed(world: World, **extra: Any) -> None:
    world.simulated.control(op="seed", seed=extra, directory=str(world.simulated.folder))


def assert_no_write_again(simulated: Simulated) -> int:
    """No clone, setting or start was asked for again once it had been done; how many were done."""
    tasks = {task["upid"]: task for task in simulated.root().get("/nodes/hv01/tasks", {"source": "all", "limit": 0})}
    made: set[str] = set()
    for write in simulated.control(op="writes"):
        if not write["path"].endswith(("/clone", "/config", "/status/start")):
            continue
        asked = {key: value for key, value in write["params"].items() if key != "digest"}
        what = f"{write['path']} {sorted(asked.items())}"
        assert what not in made
        task = tasks.get(write["task"] or "")
        if write["done"] and (task is None or task["status"].startswith(("OK", "WARNINGS"))):
            made.add(what)
    return len(made)


def read_tasks(world: World) -> list[str]:
    entries = world.simulated.root().get("/nodes/hv01/tasks", {"source": "all", "limit": 500})
    return [entry["type"] for entry in entries]
