"""Resource pools: their members, and how a VM joins and leaves them."""

from __future__ import annotations

from typing import Any

from .call import Call, Route
from .failures import died, failed_step
from .formats import pool_id, storage_id, vmid
from .rights import perm
from .schema import boolean, list_of, needed, one_of, split_list, text
from .state import State


def add_vm(state: State, pool: str, number: int) -> None:
    """Make the VM a member; call with the state being changed."""
    members = state["pools"][pool]["vms"]
    if number not in members:
        members.append(number)


def forget_vm(state: State, number: int) -> None:
    for pool in state["pools"].values():
        if number in pool["vms"]:
            pool["vms"].remove(number)


def pool_of_vm(state: State, number: int) -> str | None:
    return next((name for name, pool in state["pools"].items() if number in pool["vms"]), None)


def _list(call: Call) -> object:
    wanted = call.params.get("poolid")
    if wanted is not None:
        return [{"poolid": wanted} | _details(call, wanted)]
    pools = call.sim.state["pools"].items()
    seen = [name for name, _ in pools if call.may_any(f"/pool/{name}", "Pool.Audit", "Pool.Allocate")]
    return [{"poolid": name} | _comment(call.sim.state["pools"][name]) for name in sorted(seen)]


def _comment(pool: dict[str, Any]) -> dict[str, Any]:
    return {"comment": pool["comment"]} if pool.get("comment") else {}


def _details(call: Call, name: str) -> dict[str, Any]:
    pool = call.sim.state["pools"].get(name)
    if pool is None:
        raise died(f"pool '{name}' does not exist")
    return _comment(pool) | {"members": call.sim.broadcasts.members(call.sim, pool, call.params.get("type"))}


def _get(call: Call) -> object:
    return {"poolid": call.params["poolid"]} | _details(call, call.params["poolid"])


def _create(call: Call) -> None:
    name = call.params["poolid"]
    parent = name.rpartition("/")[0]
    with failed_step("create pool failed: "), call.sim.state.changing() as data:
        if name in data["pools"]:
            raise died(f"pool '{name}' already exists")
        if parent and parent not in data["pools"]:
            raise died(f"parent '{parent}' of pool '{name}' does not exist")
        data["pools"][name] = {"comment": call.params.get("comment", ""), "vms": [], "storage": []}


def _update(call: Call) -> None:
    name = call.params["poolid"]
    delete = bool(call.params.get("delete"))
    vms = [int(number) for number in split_list(call.params.get("vms", ""))]
    with failed_step("update pools failed: "), call.sim.state.changing() as data:
        pool = data["pools"].get(name)
        if pool is None:
            raise died(f"pool '{name}' does not exist")
        for number in vms:
            _change_vm(call, pool, name, number, delete=delete)
        for storage in split_list(call.params.get("storage", "")):
            _change_storage(call, pool, storage, delete=delete)
        if "comment" in call.params:
            pool["comment"] = call.params["comment"]


def _change_vm(call: Call, pool: dict[str, Any], name: str, number: int, *, delete: bool) -> None:
    call.check(f"/vms/{number}", "Permissions.Modify")
    if delete:
        if number not in pool["vms"]:
            raise died(f"VM {number} is not a pool member")
        pool["vms"].remove(number)
        return
    other = pool_of_vm(call.sim.state, number)
    if other == name:
        raise died(f"VM {number} is already a pool member")
    if other is not None and not call.params.get("allow-move"):
        raise died(f"VM {number} belongs already to pool '{other}' and 'allow-move' is not set")
    forget_vm(call.sim.state, number)
    pool["vms"].append(number)


def _change_storage(call: Call, pool: dict[str, Any], storage: str, *, delete: bool) -> None:
    call.check(f"/storage/{storage}", "Permissions.Modify")
    if (storage in pool["storage"]) is not delete:
        raise died(f"Storage '{storage}' is {'not' if delete else 'already'} a pool member")
    if delete:
        pool["storage"].remove(storage)
    else:
        pool["storage"].append(storage)


def _delete(call: Call) -> None:
    name = call.params["poolid"]
    with failed_step("delete pool failed: "), call.sim.state.changing() as data:
        pool = data["pools"].get(name)
        if pool is None:
            raise died(f"pool '{name}' does not exist")
        held = [f"pool '{other}'" for other in data["pools"] if other.startswith(f"{name}/")]
        held += [f"VM {number}" for number in sorted(pool["vms"]) if call.sim.configs.exists(number)]
        held += [f"storage '{storage}'" for storage in pool["storage"] if storage in data["storages"]]
        if held:
            raise died(f"pool '{name}' is not empty (contains {held[0]})")
        del data["pools"][name]
        data["acl"].pop(f"/pool/{name}", None)


_ID = {"poolid": needed(text(pool_id))}
_TYPE = {"type": one_of("qemu", "lxc", "storage")}
_CHANGES = {
    "comment": text(),
    "vms": list_of(vmid),
    "storage": list_of(storage_id),
    "delete": boolean(),
    "allow-move": boolean(),
}
_ALLOCATE = perm("/pool/{poolid}", "Pool.Allocate")
ROUTES = (
    Route(
        "GET", "/pools", _list, {"poolid": text(pool_id), "type": one_of("qemu", "lxc", "storage", requires="poolid")}
    ),
    Route("POST", "/pools", _create, _ID | {"comment": text()}, _ALLOCATE),
    Route("PUT", "/pools", _update, _ID | _CHANGES, _ALLOCATE),
    Route("DELETE", "/pools", _delete, _ID, _ALLOCATE),
    Route("GET", "/pools/{poolid}", _get, _ID | _TYPE, perm("/pool/{poolid}", "Pool.Audit")),
    Route("PUT", "/pools/{poolid}", _update, _ID | _CHANGES, _ALLOCATE),
    Route("DELETE", "/pools/{poolid}", _delete, _ID, _ALLOCATE),
)
