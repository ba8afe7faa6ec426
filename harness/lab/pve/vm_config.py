"""A VM's configuration as PVE keeps it: text with a digest, pending changes, and JSON types on reading."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any

from . import vm_options
from .failures import died
from .state import State

Config = dict[str, str]
HIDDEN = "**********"


def missing(node: str, vmid: int) -> str:
    return f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist"


class Configs:
    """The configuration records of the state; call with the state's lock held when you change one."""

    def __init__(self, state: State, node: str) -> None:
        self._state, self._node = state, node

    def record(self, vmid: int) -> dict[str, Any]:
        """{config, pending, delete}; PVE's refusal when there is no such VM."""
        record: dict[str, Any] | None = self._state["vms"].get(str(vmid))
        if record is None:
            raise died(missing(self._node, vmid))
        return record

    def source(self, vmid: int) -> dict[str, Any]:
        """The same, with the other words PVE uses when it looks for a VM on its nodes first."""
        if not self.exists(vmid):
            raise died(f"unable to find configuration file for VM {vmid} on node '{self._node}'")
        return self.record(vmid)

    def exists(self, vmid: int) -> bool:
        return str(vmid) in self._state["vms"]

    def vmids(self) -> list[int]:
        with self._state.lock:
            return [int(vmid) for vmid in self._state["vms"]]

    def write(self, vmid: int, config: Config) -> dict[str, Any]:
        """Make or replace the file, without pending changes."""
        record = {"config": config, "pending": {}, "delete": {}}
        self._state["vms"][str(vmid)] = record
        return record

    def remove(self, vmid: int) -> None:
        self._state["vms"].pop(str(vmid), None)
        self._state["started"].pop(str(vmid), None)


def check_lock(record: Mapping[str, Any]) -> None:
    if lock := record["config"].get("lock"):
        raise died(f"VM is locked ({lock})")


def digest(record: Mapping[str, Any]) -> str:
    """SHA-1 of the file's text; the same text as PVE's, so the same digest."""
    return hashlib.sha1(render(record).encode(), usedforsecurity=False).hexdigest()


def render(record: Mapping[str, Any]) -> str:
    text = _section(record["config"])
    if record["pending"] or record["delete"]:
        pending = dict(record["pending"])
        if record["delete"]:
            pending["delete"] = ",".join(f"!{key}" if force else key for key, force in record["delete"].items())
        text += "\n[PENDING]\n" + _section(pending)
    return text


def _section(config: Mapping[str, str]) -> str:
    lines = []
    if "description" in config:
        lines = ["#" + _encode(line) for line in config["description"].split("\n")]
    lines += [f"{key}: {config[key]}" for key in sorted(config) if key != "description"]
    return "".join(f"{line}\n" for line in lines)


def _encode(line: str) -> str:
    """Comment lines are ASCII: everything else, and what would be read as an escape, is percent-encoded."""
    return re.sub(r"[^ -~]|[%:]", lambda match: urllib.parse.quote(match[0], safe=""), line)


def parse(text: str) -> Config:
    """A configuration from the text of its file; sections below the first belong to something else."""
    config: Config = {}
    comments = []
    for line in text.splitlines():
        if line.startswith("["):
            break
        key, colon, value = line.partition(": ")
        if line.startswith("#"):
            comments.append(urllib.parse.unquote(line[1:]))
        elif colon:
            config[key] = value
    return config | ({"description": "\n".join(comments)} if comments else {})


def stored_description(text: str) -> str:
    """A trailing newline does not come back."""
    return text.rstrip("\n")


def shown(key: str, value: str) -> object:
    """A value as JSON: integers and booleans as numbers, a password never."""
    if key == "cipassword":
        return HIDDEN
    return int(value) if vm_options.is_number(key) else value


def as_json(record: Mapping[str, Any], *, current: bool) -> dict[str, object]:
    """What GET config answers: with pending changes merged in unless `current`."""
    config = dict(record["config"])
    if not current:
        for key in record["delete"]:
            config.pop(key, None)
        config |= record["pending"]
    return {key: shown(key, value) for key, value in config.items()} | {"digest": digest(record)}


def pending_list(record: Mapping[str, Any]) -> list[dict[str, object]]:
    """What GET pending answers: every key with its value, its pending value and its pending removal."""
    items: list[dict[str, object]] = [{"key": "digest", "value": digest(record)}]
    pending, delete = record["pending"], record["delete"]
    for key, value in record["config"].items():
        item = {"key": key, "value": shown(key, value)}
        if key in pending:
            item["pending"] = shown(key, pending[key])
        if key in delete:
            item["delete"] = 2 if delete[key] else 1
        items.append(item)
    added = [key for key in pending if key not in record["config"]]
    return items + [{"key": key, "pending": shown(key, pending[key])} for key in added]
