"""Backup jobs: kept, changed and checked; nobody runs them but whoever asks for the same backup."""

from __future__ import annotations

import re
import time
import uuid
from datetime import datetime, timedelta
from typing import Any

from . import drives, formats
from .call import Call, Route
from .failures import bad_parameters, died
from .prune import KEEP
from .rights import perm
from .schema import Param, boolean, integer, list_of, needed, one_of, split_list, text

_NAMED = {"hourly": "0:00", "daily": "00:00", "weekly": "mon 00:00", "monthly": "*-*-1 00:00"}
_SELECTIONS = ("vmid", "all", "pool")  # each takes the place of the others
_FIXED = ("schedule", "vmid")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _jobs(call: Call) -> object:
    return [_shown(job_id, job, listed=True) for job_id, job in call.sim.state["jobs"].items()]


def _job(call: Call) -> object:
    return _shown(call.params["id"], _known(call))


def _known(call: Call) -> dict[str, Any]:
    job: dict[str, Any] | None = call.sim.state["jobs"].get(call.params["id"])
    if job is None:
        raise bad_parameters({"id": f"No such job '{call.params['id']}'"})
    return job


def _shown(job_id: str, job: dict[str, Any], *, listed: bool = False) -> dict[str, Any]:
    item = {"id": job_id, "type": "vzdump"} | job
    if "prune-backups" in item:
        item["prune-backups"] = KEEP.parse(item["prune-backups"], "prune-backups")
    if listed and (following := next_run(job.get("schedule", ""))) is not None:
        item["next-run"] = following
    return item


def next_run(schedule: str) -> int | None:
    """The next time of the simple calendar events (`02:30`, `sat 03:00`, `mon..fri 1:15`, `daily`); None for others."""
    match = re.fullmatch(r"(?:([a-z,.]+) )?(?:\*-\*-\* )?(\d{1,2}):(\d{2})(?::\d{2})?", _NAMED.get(schedule, schedule))
    if match is None:
        return None
    days = _weekdays(match[1]) if match[1] else set(range(7))
    moment = datetime.fromtimestamp(time.time()).astimezone()
    moment = moment.replace(hour=int(match[2]) % 24, minute=int(match[3]), second=0, microsecond=0)
    for _ in range(8):
        if moment.timestamp() > time.time() and moment.weekday() in days:
            return int(moment.timestamp())
        moment += timedelta(days=1)
    return None


def _weekdays(words: str) -> set[int]:
    found: set[int] = set()
    for word in words.split(","):
        first, _, last = word.partition("..")
        if first not in _DAYS or (last and last not in _DAYS):
            return set(range(7))
        found |= set(range(_DAYS.index(first), _DAYS.index(last or first) + 1))
    return found


def _create(call: Call) -> None:
    job_id = call.params.get("id") or str(uuid.uuid4())
    if "schedule" not in call.params and "starttime" not in call.params:
        raise bad_parameters({"schedule": "neither 'starttime' nor 'schedule' were set"})
    if "pool" in call.params:
        call.sim.rights.check_pool_exists(call.params["pool"])
    elif not call.params.get("all") and not call.params.get("vmid"):
        # Raised inside another call, which turns it into a 500.
        raise died("400 Parameter verification failed.\nvmid: property is missing")
    with call.sim.state.changing() as data:
        if job_id in data["jobs"]:
            raise died(f"Job '{job_id}' already exists")
        data["jobs"][job_id] = {"enabled": 1} | _values(call)


def _values(call: Call) -> dict[str, Any]:
    values = {key: value for key, value in call.params.items() if key not in {"id", "delete"}}
    if not call.is_root and (special := {"tmpdir", "dumpdir", "script"} & values.keys()):
        raise bad_parameters(dict.fromkeys(special, "Only root may set this option."))
    if (start := values.pop("starttime", None)) is not None:  # the old way to say it
        days = values.pop("dow", ",".join(_DAYS))
        values["schedule"] = start if len(split_list(days)) == len(_DAYS) else f"{days} {start}"
    return values


def _update(call: Call) -> None:
    job: dict[str, Any] | None = call.sim.state["jobs"].get(call.params["id"])
    if job is None:
        raise died("no such vzdump job")
    deleted, values = split_list(call.params.get("delete", "")), _values(call)
    for key in deleted:
        if key not in OPTIONS or key in _FIXED:
            raise died(f"400 Parameter verification failed.\ndelete: unknown option '{key}'")
    replaced = _SELECTIONS if any(values.get(key) for key in _SELECTIONS) else ()
    with call.sim.state.changing():
        for key in (*deleted, *replaced):
            job.pop(key, None)
        job |= values


def _delete(call: Call) -> None:
    job_id = call.params["id"]
    if job_id not in call.sim.state["jobs"]:
        # The refusal is raised inside another call, which turns it into a 500.
        raise died(f"400 Parameter verification failed.\nid: No such job '{job_id}'")
    with call.sim.state.changing() as data:
        del data["jobs"][job_id]


def _covers(job: dict[str, Any], vmid: int, pools: dict[str, Any]) -> bool:
    if not job.get("enabled", 1):
        return False
    if job.get("pool"):
        return vmid in pools.get(job["pool"], {}).get("vms", [])
    if job.get("all"):
        return str(vmid) not in split_list(job.get("exclude", ""))
    return str(vmid) in split_list(job.get("vmid", ""))


def _not_backed_up(call: Call) -> object:
    state, items = call.sim.state, []
    for vmid in sorted(call.sim.configs.vmids()):
        if call.may(f"/vms/{vmid}", "VM.Audit") and not any(
            _covers(job, vmid, state["pools"]) for job in state["jobs"].values()
        ):
            name = call.sim.configs.record(vmid)["config"].get("name")
            items.append({"vmid": vmid, "type": "qemu"} | ({"name": name} if name else {}))
    return items


def _included(call: Call) -> object:
    job, sim = _known(call), call.sim
    vmids = [vmid for vmid in sorted(sim.configs.vmids()) if _covers(job | {"enabled": 1}, vmid, sim.state["pools"])]
    missing = [int(number) for number in split_list(job.get("vmid", "")) if not sim.configs.exists(int(number))]
    unknown = [{"id": vmid, "type": "unknown", "leaf": 1} for vmid in missing]
    return {"children": [_included_vm(call, vmid) for vmid in vmids] + unknown}


def _included_vm(call: Call, vmid: int) -> dict[str, Any]:
    config = call.sim.configs.record(vmid)["config"]
    children = []
    for slot, volid in drives.disks(config).items():
        if drives.is_drive(slot) and not drives.is_cdrom(config[slot]):
            kept = drives.parse(slot, config[slot]).get("backup", "1") != "0"
            reason = "backup=yes" if kept else "backup=no"
            children.append({"id": f"{vmid}:{slot}", "name": volid, "included": int(kept), "reason": reason, "leaf": 1})
    return {"id": vmid, "name": config.get("name", ""), "type": "qemu", "leaf": 0, "children": children}


OPTIONS: dict[str, Param] = {
    "all": boolean(),
    "bwlimit": integer(0),
    "comment": text(longest=512),
    "compress": one_of("0", "1", "gzip", "lzo", "zstd"),
    "dow": text(requires="starttime"),
    "dumpdir": text(),
    "enabled": boolean(),
    "exclude": list_of(formats.vmid),
    "exclude-path": Param("array"),
    "fleecing": text(),
    "ionice": integer(0, 8),
    "lockwait": integer(0),
    "mailnotification": one_of("always", "failure"),
    "mailto": text(),
    "maxfiles": integer(1),
    "mode": one_of("snapshot", "suspend", "stop"),
    "node": text(formats.node),
    "notes-template": text(longest=1024, requires="storage"),
    "notification-mode": one_of("auto", "legacy-sendmail", "notification-system"),
    "notification-policy": one_of("always", "failure", "never"),
    "notification-target": text(),
    "pbs-change-detection-mode": one_of("legacy", "data", "metadata"),
    "performance": text(),
    "pigz": integer(),
    "pool": text(),
    "protected": boolean(requires="storage"),
    "prune-backups": text(KEEP.check("prune-backups")),
    "quiet": boolean(),
    "remove": boolean(),
    "repeat-missed": boolean(),
    "schedule": text(formats.calendar_event, longest=128),
    "script": text(),
    "starttime": text(pattern=r"\d{1,2}:\d{1,2}"),
    "stdexcludes": boolean(),
    "stop": boolean(),
    "stopwait": integer(0),
    "storage": text(formats.storage_id),
    "tmpdir": text(),
    "vmid": list_of(formats.vmid),
    "zstd": integer(),
}
_ID = {"id": needed(text())}
_AUDIT, _MODIFY = perm("/", "Sys.Audit"), perm("/", "Sys.Modify")
_ONE = "/cluster/backup/{id}"
ROUTES = (
    Route("GET", "/cluster/backup", _jobs, {}, _AUDIT),
    Route("POST", "/cluster/backup", _create, OPTIONS | {"id": text(formats.config_id)}, _MODIFY),
    Route("GET", _ONE, _job, _ID, _AUDIT),
    Route("PUT", _ONE, _update, OPTIONS | _ID | {"delete": list_of(formats.config_id)}, _MODIFY),
    Route("DELETE", _ONE, _delete, _ID, _MODIFY),
    Route("GET", f"{_ONE}/included_volumes", _included, _ID, _AUDIT),
    Route("GET", "/cluster/backup-info/not-backed-up", _not_backed_up, {}, _AUDIT),
)
