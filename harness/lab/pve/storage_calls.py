"""Storage configuration, status and content."""

from __future__ import annotations

import hashlib
from typing import Any

from . import drives, formats
from .call import Call, Route
from .failures import ApiError, died
from .path_params import NODE, STORAGE
from .rights import perm
from .schema import Param, boolean, integer, list_of, needed, one_of, split_list, text
from .storage import DEFAULT_CONTENT, INTERNAL

_SEEN = ("Datastore.Audit", "Datastore.AllocateSpace")
_TYPES = (
    "btrfs", "cephfs", "cifs", "dir", "esxi", "glusterfs", "iscsi", "iscsidirect", "lvm", "lvmthin", "nfs", "pbs",
    "rbd", "zfs", "zfspool",
)  # fmt: skip
# What each type must be told; the simulator serves directories and one thin pool, the others are only configured.
_NEEDED = {
    "dir": ("path",),
    "nfs": ("server", "export"),
    "lvmthin": ("thinpool", "vgname"),
    "lvm": ("vgname",),
    "cifs": ("server", "share"),
    "zfspool": ("pool",),
}


def _configured(call: Call, name: str) -> dict[str, Any]:
    record = call.sim.storages.config(name)
    shown = {key: value for key, value in record.items() if key not in INTERNAL}
    return {"storage": name, "digest": _digest(call)} | shown


def _digest(call: Call) -> str:
    text_of_file = "".join(f"{name}{sorted(record.items())}" for name, record in call.sim.state["storages"].items())
    return hashlib.sha1(text_of_file.encode(), usedforsecurity=False).hexdigest()


def _list(call: Call) -> object:
    wanted = call.params.get("type")
    return [
        _configured(call, name)
        for name in sorted(call.sim.storages.names())
        if call.may_any(f"/storage/{name}", *_SEEN) and wanted in {None, call.sim.storages.config(name)["type"]}
    ]


def _get(call: Call) -> object:
    return _configured(call, call.params["storage"])


def _create(call: Call) -> object:
    name, kind = call.params["storage"], call.params["type"]
    for key in _NEEDED.get(kind, ()):
        if key not in call.params:
            raise died(f"create storage failed: missing value for required option '{key}'")
    with call.sim.state.changing() as data:
        if name in data["storages"]:
            raise died(f"storage ID '{name}' already defined")
        record = {"content": DEFAULT_CONTENT.get(kind, "images")} | _values(call)
        if kind == "nfs":
            record.setdefault("path", f"/mnt/pve/{name}")
        data["storages"][name] = record
    return {"storage": name, "type": kind}


def _values(call: Call) -> dict[str, Any]:
    return {key: value for key, value in call.params.items() if key not in {"storage", "delete", "digest"}}


def _update(call: Call) -> object:
    record = call.sim.storages.config(call.params["storage"])
    stated = call.params.get("digest")
    if stated and stated != _digest(call):
        raise died("detected modified configuration - file changed by other user? Try again.")
    with call.sim.state.changing():
        for key in split_list(call.params.get("delete", "")):
            record.pop(key, None)
        record |= _values(call)
        if not record.get("disable", 1):
            del record["disable"]
    return {"storage": call.params["storage"], "type": record["type"]}


def _delete(call: Call) -> None:
    call.sim.storages.config(call.params["storage"])
    with call.sim.state.changing() as data:
        del data["storages"][call.params["storage"]]


# -- on the node ------------------------------------------------------------------------------------------------------
def _statuses(call: Call) -> object:
    params, items = call.params, []
    for name in call.sim.storages.names():
        status = call.sim.storages.status(name)
        contents = set(split_list(params.get("content", "")))
        if not call.may_any(f"/storage/{name}", *_SEEN) or params.get("storage", name) != name:
            continue
        if (contents and not contents & set(status["content"].split(","))) or (
            params.get("enabled") and not status["enabled"]
        ):
            continue
        fraction = {"used_fraction": status["used"] / status["total"]} if status["total"] else {}
        items.append({"storage": name} | status | fraction)
    return items


def _status(call: Call) -> object:
    return call.sim.storages.status(call.params["storage"])


def _content(call: Call) -> object:
    name, params = call.params["storage"], call.params
    if call.sim.storages.config(name).get("disable"):
        raise died(f"storage '{name}' is disabled")
    items = []
    for volid, record in sorted(call.sim.storages.on(name).items()):
        if params.get("content", record["content"]) != record["content"]:
            continue
        # Images to import are listed for every VMID.
        if record["content"] != "import" and params.get("vmid", record["vmid"]) != record["vmid"]:
            continue
        if _may_see(call, volid):
            items.append(_volume(call, volid, record))
    return items


def _may_see(call: Call, volid: str) -> bool:
    try:
        drives.check_volume_access(call, volid, None)
    except ApiError:
        return False
    return True


def _volume(call: Call, volid: str, record: dict[str, Any]) -> dict[str, Any]:
    keys = ["content", "ctime", "format", "size"]
    if record["content"] in {"images", "backup"}:
        keys.append("vmid")
    if record["content"] == "images" and call.sim.storages.is_file_based(record["storage"]):
        keys += ["parent", "used"]
    extra = {"subtype": "qemu"} if record["content"] == "backup" else {}
    optional = {key: record[key] for key in ("notes", "protected") if record.get(key)}
    if "notes" in optional:
        optional["notes"] = optional["notes"].split("\n", 1)[0]  # a list shows the first line
    return {"volid": volid} | {key: record[key] for key in keys} | extra | optional


_KEYS: dict[str, Param] = {
    name: text()
    for name in (
        "export", "options", "password", "path", "pool", "portal", "prune-backups", "server", "share", "subdir",
        "target", "thinpool", "username", "vgname", "bwlimit", "content-dirs", "is_mountpoint", "preallocation", "base",
    )
}  # fmt: skip
_KEYS |= {
    "content": list_of(None),
    "disable": boolean(),
    "format": one_of("raw", "qcow2", "subvol", "vmdk"),
    "max-protected-backups": integer(-1),
    "maxfiles": integer(0),
    "mkdir": boolean(),
    "create-base-path": boolean(),
    "create-subdirs": boolean(),
    "nodes": list_of(formats.node),
    "saferemove": boolean(),
    "shared": boolean(),
    "sparse": boolean(),
}
_ID = {"storage": needed(text(formats.storage_id))}
_CREATE = _KEYS | _ID | {"type": needed(one_of(*_TYPES))}
_UPDATE = _KEYS | _ID | {"delete": list_of(formats.config_id), "digest": text(longest=64)}
_ALLOCATE = perm("/storage", "Datastore.Allocate")
_AUDIT = perm("/storage/{storage}", *_SEEN, any_of_them=True)
_LIST = {
    "content": list_of(None),
    "enabled": boolean(),
    "format": boolean(),
    "storage": text(formats.storage_id),
    "target": text(formats.node),
}
_CONTENT = {"content": text(), "vmid": integer(100, 999999999, check=formats.vmid)}
_ONE = "/nodes/{node}/storage/{storage}"
ROUTES = (
    Route("GET", "/storage", _list, {"type": one_of(*_TYPES)}),
    Route("POST", "/storage", _create, _CREATE, _ALLOCATE),
    Route("GET", "/storage/{storage}", _get, _ID, perm("/storage/{storage}", "Datastore.Allocate")),
    Route("PUT", "/storage/{storage}", _update, _UPDATE, _ALLOCATE),
    Route("DELETE", "/storage/{storage}", _delete, _ID, _ALLOCATE),
    Route("GET", "/nodes/{node}/storage", _statuses, NODE | _LIST),
    Route("GET", f"{_ONE}/status", _status, STORAGE, _AUDIT),
    Route("GET", f"{_ONE}/content", _content, STORAGE | _CONTENT, _AUDIT),
)
