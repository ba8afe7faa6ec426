"""Start and stop all guests of the node: what PVE does at boot and before it goes down, in the declared order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .call import Call, Route
from .failures import forbidden
from .path_params import NODE
from .schema import boolean, integer, list_of, split_list
from .tasks import Worker
from .vm_power import Work, shutdown_vm, start_vm

if TYPE_CHECKING:
    from .simulator import Simulator

LAST = 2**31 - 1  # the place of a VM that has no order
DEFAULT_TIMEOUT_S = 180


def _startall(call: Call) -> object:
    sim, user = call.sim, call.user
    chosen = _chosen(call)
    onboot_only = not call.params.get("force")

    def work(worker: Worker) -> None:
        for vmid, startup in _in_order(sim, chosen, onboot_only=onboot_only):
            if sim.runtime.is_running(vmid) is not None:
                continue
            worker.log(f"Starting VM {vmid}")
            upid = _begin(call, "qmstart", start_vm, vmid, {})
            if (status := _end_of(sim, worker, upid)) != "OK":
                worker.log(f"Starting VM {vmid} failed: {status}")
            elif delay := int(startup.get("up", 0)):
                worker.log(f"Waiting for {delay} seconds (startup delay)")
                worker.spend(delay)

    return sim.tasks.start("startall", "", user, work)


def _stopall(call: Call) -> object:
    """The reverse order; the VMs of one place go down together."""
    sim, user = call.sim, call.user
    chosen = _chosen(call)
    force = call.params.get("force-stop", 1)

    def work(worker: Worker) -> None:
        listed = list(_in_order(sim, chosen, onboot_only=False))
        for order in sorted({_order(startup) for _, startup in listed}, reverse=True):
            begun: dict[int, str] = {}
            for vmid, startup in listed:
                if _order(startup) == order and sim.runtime.is_running(vmid) is not None:
                    limit = int(startup.get("down", call.params.get("timeout", DEFAULT_TIMEOUT_S)))
                    worker.log(f"Stopping VM {vmid} (timeout = {limit} seconds)")
                    params = {"timeout": limit, "forceStop": force}
                    begun[vmid] = _begin(call, "qmshutdown", shutdown_vm, vmid, params)
            for vmid, upid in begun.items():
                if (status := _end_of(sim, worker, upid)) != "OK":
                    worker.log(f"Stopping VM {vmid} failed: {status}")

    return sim.tasks.start("stopall", "", user, work)


def _begin(call: Call, kind: str, work: Work, vmid: int, params: Mapping[str, Any]) -> str:
    sim = call.sim
    return sim.tasks.start(kind, str(vmid), call.user, lambda worker: work(sim, vmid, worker, params))


def _chosen(call: Call) -> frozenset[int] | None:
    """None: all. Whoever may not switch everything must name what he may switch."""
    named = call.params.get("vms")
    chosen = frozenset(int(vmid) for vmid in split_list(named)) if named else None
    if not call.may("/", "VM.PowerMgmt"):
        if chosen is None:
            raise forbidden("/, VM.PowerMgmt")
        for vmid in sorted(chosen):
            call.check(f"/vms/{vmid}", "VM.PowerMgmt")
    return chosen


def _in_order(
    sim: Simulator, chosen: frozenset[int] | None, *, onboot_only: bool
) -> Iterator[tuple[int, Mapping[str, str]]]:
    with sim.state.lock:
        configs: Sequence[tuple[int, dict[str, Any]]] = [(int(n), vm["config"]) for n, vm in sim.state["vms"].items()]
    read = [(_startup(config), vmid, config) for vmid, config in configs]
    for startup, vmid, config in sorted(read, key=lambda one: (_order(one[0]), one[1])):
        if config.get("template") == "1" or (chosen is not None and vmid not in chosen):
            continue
        if onboot_only and config.get("onboot") != "1":
            continue
        yield vmid, startup


def _startup(config: Mapping[str, str]) -> dict[str, str]:
    """A number alone is the order."""
    said = config.get("startup", "")
    found = dict(re.findall(r"(order|up|down)=(\d+)", said))
    return found if "=" in said or not said else {"order": said}


def _order(startup: Mapping[str, str]) -> int:
    return int(startup.get("order", LAST))


def _end_of(sim: Simulator, worker: Worker, upid: str) -> str:
    """How a worker of the worker ended, noticed when this one is stopped meanwhile."""
    while not sim.tasks.wait(upid, 0.05):
        worker.spend(0)
    return str(sim.tasks.find(upid)["status"])


_VMS = NODE | {"vms": list_of(None)}
ROUTES = (
    Route("POST", "/nodes/{node}/startall", _startall, _VMS | {"force": boolean()}, locked=False),
    Route(
        "POST",
        "/nodes/{node}/stopall",
        _stopall,
        _VMS | {"force-stop": boolean(), "timeout": integer(0, 7200)},
        locked=False,
    ),
)
