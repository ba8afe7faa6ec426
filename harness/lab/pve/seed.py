"""Bring a node into the state a JSON file describes: who exists, what they may, what is on it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import drives
from .simulator import Simulator
from .storage import parse_size
from .vm_power import nics

KEYS = (
    "users", "groups", "roles", "tokens", "acl", "storages", "vms", "volumes", "pools", "jobs", "options", "running",
)  # fmt: skip


def apply_seed_file(sim: Simulator, file: Path) -> None:
    apply_seed(sim, json.loads(file.read_text(encoding="utf-8")), file.parent)


def apply_seed(sim: Simulator, seed: Mapping[str, Any], directory: Path) -> None:
    """Merge the seed into the state; secrets are read from files below `directory`."""
    if unknown := set(seed) - set(KEYS):
        raise ValueError(f"unknown keys in the seed: {', '.join(sorted(unknown))}")
    with sim.state.changing() as data:
        for role, privileges in seed.get("roles", {}).items():
            data["roles"][role] = sorted(privileges)
        for group in seed.get("groups", []):
            data["groups"][group["groupid"]] = {"comment": group.get("comment", "")}
        for user in seed.get("users", []):
            _user(sim, data, user, directory)
        for token in seed.get("tokens", []):
            _token(data, token, directory)
        for entry in seed.get("acl", []):
            _acl(data, entry)
        for storage in seed.get("storages", []):
            data["storages"][storage["storage"]] = {key: storage[key] for key in storage if key != "storage"}
        for volume in seed.get("volumes", []):
            _volume(data, volume)
        for vm in seed.get("vms", []):
            _vm(sim, int(vm["vmid"]), vm["config"])
        for pool in seed.get("pools", []):
            members = {"vms": list(pool.get("vms", [])), "storage": list(pool.get("storage", []))}
            data["pools"][pool["poolid"]] = {"comment": pool.get("comment", ""), **members}
        for job in seed.get("jobs", []):
            data["jobs"][job["id"]] = {key: job[key] for key in job if key != "id"}
        data["options"] |= seed.get("options", {})
    for vmid in seed.get("running", []):
        start(sim, int(vmid))


def _user(sim: Simulator, data: dict[str, Any], user: Mapping[str, Any], directory: Path) -> None:
    record = data["users"].setdefault(user["userid"], {"enable": 1, "expire": 0, "groups": [], "tokens": {}})
    record |= {key: user[key] for key in user if key not in {"userid", "password_file"}}
    if "password_file" in user:
        sim.identity.set_password(user["userid"], _secret(directory, user["password_file"]))


def _token(data: dict[str, Any], token: Mapping[str, Any], directory: Path) -> None:
    owner, _, name = token["id"].partition("!")
    record = {key: token[key] for key in ("privsep", "expire", "comment") if key in token}
    data["users"][owner]["tokens"][name] = {"privsep": 1, "expire": 0} | record
    data["token_values"][token["id"]] = _secret(directory, token["secret_file"])


def _secret(directory: Path, name: str) -> str:
    return (directory / name).read_text(encoding="utf-8").strip()


def _acl(data: dict[str, Any], entry: Mapping[str, Any]) -> None:
    stored = data["acl"].setdefault(entry["path"], {})
    granted = dict.fromkeys(entry["roles"], int(entry.get("propagate", 1)))
    for kind in ("users", "groups", "tokens"):
        for name in entry.get(kind, []):
            stored.setdefault(kind, {}).setdefault(name, {}).update(granted)


def _volume(data: dict[str, Any], volume: Mapping[str, Any]) -> None:
    volid = volume["volid"]
    content = volume.get("content", "images")
    record = {"storage": volid.partition(":")[0], "vmid": None, "used": volume["size"], "parent": None}
    record |= {"ctime": int(time.time()), "format": "qcow2", "content": content}
    data["volumes"][volid] = record | {key: volume[key] for key in volume if key != "volid"}


def _vm(sim: Simulator, vmid: int, config: Mapping[str, str]) -> None:
    texts = {key: str(value) for key, value in config.items()}
    sim.configs.write(vmid, texts)
    for slot, volid in drives.disks(texts).items():
        size = drives.parse(slot, texts[slot]).get("size", "0") if drives.is_drive(slot) else "0"
        sim.storages.adopt(volid, vmid, parse_size(size))
    if drives.root_disk(texts) is not None:
        sim.runtime.create_disk(vmid, None, False)


def start(sim: Simulator, vmid: int) -> None:
    """Power a VM on without a task, as if it had been running all the time."""
    pid = sim.runtime.start(vmid, nics(sim.configs.record(vmid)["config"]))
    with sim.state.changing() as data:
        data["started"][str(vmid)] = [pid, time.time()]
