"""Look at tasks, page through their logs, stop them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import formats
from .call import Answer, Call, Route
from .failures import ApiError
from .path_params import NODE
from .schema import boolean, integer, list_of, needed, one_of, split_list, text

_DEFAULT_LIMIT = 50


def _own(call: Call, record: Mapping[str, Any]) -> bool:
    """A token's own tasks are those it started, a user's also those of its tokens."""
    starter = record["user"] + (f"!{record['tokenid']}" if "tokenid" in record else "")
    return call.user in {starter, record["user"]}


def _list(call: Call) -> object:
    sees_all = call.may(f"/nodes/{call.sim.node}", "Sys.Audit")
    source = call.params.get("source", "archive")
    found = []
    for record in call.sim.tasks.all():
        running = "endtime" not in record
        if (source == "archive" and running) or (source == "active" and not running):
            continue
        if (sees_all or _own(call, record)) and _matches(call, record):
            found.append(record)
    start, limit = call.params.get("start", 0), call.params.get("limit", _DEFAULT_LIMIT)
    page = found[start : start + limit] if limit else found[start:]
    return Answer([_shown(record) for record in page], {"total": len(found)} if found else {})


def _matches(call: Call, record: Mapping[str, Any]) -> bool:
    params, status = call.params, str(record.get("status", "RUNNING"))
    kind = _status_kind(status)
    wanted = [
        "vmid" not in params or record["id"] == str(params["vmid"]),
        "typefilter" not in params or record["type"] == params["typefilter"],
        "userfilter" not in params or params["userfilter"] in record["user"],
        not params.get("errors") or kind != "ok",
        "since" not in params or record["starttime"] >= params["since"],
        "until" not in params or record["starttime"] <= params["until"],
        "statusfilter" not in params or kind in split_list(params["statusfilter"]),
    ]
    return all(wanted)


def _status_kind(status: str) -> str:
    if status == "OK":
        return "ok"
    if status.startswith("WARNINGS: "):
        return "warning"
    return "unknown" if status in {"unexpected status", "RUNNING"} else "error"


_KEYS = ("upid", "node", "pid", "pstart", "starttime", "type", "id", "user", "tokenid")


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    item = {key: record[key] for key in _KEYS if key in record}
    if "endtime" in record:
        return item | {"endtime": record["endtime"], "status": record["status"]}
    return item | {"status": "RUNNING", "saved": "0"}


def _visible(call: Call, *, privilege: str = "Sys.Audit") -> dict[str, Any]:
    record = call.sim.tasks.find(call.params["upid"])
    if not _own(call, record):
        call.check(f"/nodes/{call.sim.node}", privilege)
    return record


def _status(call: Call) -> object:
    record = _visible(call)
    item = {key: record[key] for key in _KEYS if key in record}
    if "endtime" in record:
        return item | {"status": "stopped", "exitstatus": record["status"]}
    return item | {"status": "running"}


def _log(call: Call) -> object:
    try:
        record = _visible(call)
    except ApiError as error:
        if error.errors != {"upid": "no such task"}:
            raise
        # One object where a list is expected: so does the real node for a task it does not know.
        return Answer({"n": 1, "t": "unable to open file - No such file or directory"}, {"total": 1})
    lines = list(record["log"]) or ["no content"]
    start, limit = call.params.get("start", 0), call.params.get("limit", _DEFAULT_LIMIT)
    page = lines[start : start + limit] if limit else lines[start:]
    numbered = [{"n": number, "t": line} for number, line in enumerate(page, start=start + 1)]
    return Answer(numbered, {"total": len(lines)})


def _index(call: Call) -> object:  # noqa: ARG001 - the same for every task
    return [{"name": "log"}, {"name": "status"}]


def _stop(call: Call) -> None:
    record = _visible(call, privilege="Sys.Modify")
    call.sim.tasks.stop(record["upid"])


_UPID = NODE | {"upid": needed(text())}
_LIST = {
    "errors": boolean(),
    "limit": integer(0),
    "since": integer(),
    "source": one_of("archive", "active", "all"),
    "start": integer(0),
    "statusfilter": list_of(None),
    "typefilter": text(),
    "until": integer(),
    "userfilter": text(),
    "vmid": integer(100, 999999999, check=formats.vmid),
}
_LOG = {"start": integer(0), "limit": integer(0), "download": boolean()}
_ONE = "/nodes/{node}/tasks/{upid}"
ROUTES = (
    Route("GET", "/nodes/{node}/tasks", _list, NODE | _LIST),
    Route("GET", _ONE, _index, _UPID),
    Route("DELETE", _ONE, _stop, _UPID, locked=False),
    Route("GET", f"{_ONE}/status", _status, _UPID),
    Route("GET", f"{_ONE}/log", _log, _UPID | _LOG),
)
