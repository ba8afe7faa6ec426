"""The guest agent's calls: PVE's checks in its order, then the agent's own answer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from .call import Call, Route
from .failures import died
from .path_params import VM
from .rights import perm
from .runtime import AgentError, AgentNotRunning
from .schema import Param, boolean, integer, needed, one_of, text
from .vm_status import agent_enabled

PING_S = 3.0
COMMAND_S = 5.0
_CHUNK = 1048576
# PVE's name of each simple command and the method it is called with.
_READS = (
    "get-fsinfo", "get-host-name", "get-memory-block-info", "get-memory-blocks", "get-osinfo", "get-time",
    "get-timezone", "get-users", "get-vcpus", "info", "network-get-interfaces",
)  # fmt: skip
_WRITES = (
    "fsfreeze-freeze", "fsfreeze-status", "fsfreeze-thaw", "fstrim", "ping", "shutdown", "suspend-disk",
    "suspend-hybrid", "suspend-ram",
)  # fmt: skip
_INDEX = sorted({*_READS, *_WRITES, "exec", "exec-status", "file-read", "file-write", "set-user-password"})


def _ready(call: Call) -> None:
    """Configured, running, answering: the first that is not is what PVE says."""
    config = call.sim.configs.record(call.vmid)["config"]
    if "agent" not in config:
        raise died("No QEMU guest agent configured")
    if call.sim.runtime.is_running(call.vmid) is None:
        raise died(f"VM {call.vmid} is not running")
    if not agent_enabled(config) or call.vmid in call.sim.paused or not _answers(call):
        raise died("QEMU guest agent is not running")


def _answers(call: Call) -> bool:
    try:
        call.sim.runtime.agent(call.vmid, "guest-ping", {}, PING_S * call.sim.pace)
    except AgentNotRunning:
        return False
    return True


def _ask(call: Call, command: str, arguments: Mapping[str, object]) -> Any:
    """One command to a guest that answered just now; AgentError passes."""
    try:
        return call.sim.runtime.agent(call.vmid, command, arguments, COMMAND_S * call.sim.pace)
    except AgentNotRunning as error:
        raise died(f"VM {call.vmid} qmp command '{command}' failed - got timeout") from error


def _must(call: Call, command: str, arguments: Mapping[str, object]) -> Any:
    """The same where PVE looks at the agent's error."""
    try:
        return _ask(call, command, arguments)
    except AgentError as error:
        raise died(f"Agent error: {error.description}") from error


def _simple(name: str) -> Callable[[Call], object]:
    def run(call: Call) -> object:
        _ready(call)
        try:
            return {"result": _ask(call, f"guest-{name}", {})}
        except AgentError as error:
            # These calls do not look into the answer: an error is a result like any other.
            return {"result": {"error": {"class": error.error_class, "desc": error.description}}}

    return run


def _by_name(call: Call) -> object:
    return _simple(call.params["command"])(call)


def _index(call: Call) -> object:  # noqa: ARG001 - the same for every VM
    return [{"name": name} for name in _INDEX]


def _exec(call: Call) -> object:
    _ready(call)
    program, *arguments = (str(part) for part in call.params["command"])
    request: dict[str, object] = {"path": program, "arg": arguments, "capture-output": True}
    if "input-data" in call.params:
        request["input-data"] = base64.b64encode(call.params["input-data"].encode()).decode()
    return {"pid": _must(call, "guest-exec", request)["pid"]}


def _exec_status(call: Call) -> object:
    _ready(call)
    result = dict(_must(call, "guest-exec-status", {"pid": call.params["pid"]}))
    result["exited"] = int(bool(result["exited"]))
    for stream in ("out", "err"):
        if f"{stream}-data" in result:
            result[f"{stream}-data"] = base64.b64decode(result[f"{stream}-data"]).decode("utf-8", "replace")
            result[f"{stream}-truncated"] = int(bool(result.get(f"{stream}-truncated")))
    return result


def _file_read(call: Call) -> object:
    _ready(call)
    handle = _must(call, "guest-file-open", {"path": call.params["file"], "mode": "r"})
    content, at_end = b"", False
    try:
        while not at_end and len(content) < 16 * _CHUNK:
            part = _must(call, "guest-file-read", {"handle": handle, "count": _CHUNK})
            content += base64.b64decode(part.get("buf-b64", ""))
            at_end = bool(part["eof"])
    finally:
        _must(call, "guest-file-close", {"handle": handle})
    answer: dict[str, object] = {"content": content.decode("utf-8", "replace"), "bytes-read": len(content)}
    return answer if at_end else answer | {"truncated": 1}


def _file_write(call: Call) -> None:
    _ready(call)
    content = call.params["content"]
    encoded = base64.b64encode(content.encode()).decode() if call.params.get("encode", 1) else content
    handle = _must(call, "guest-file-open", {"path": call.params["file"], "mode": "wb"})
    try:
        _must(call, "guest-file-write", {"handle": handle, "buf-b64": encoded})
    finally:
        _must(call, "guest-file-close", {"handle": handle})


_MONITOR = perm("/vms/{vmid}", "VM.Monitor")
_AGENT = "/nodes/{node}/qemu/{vmid}/agent"


def _route(method: str, name: str, run: Callable[[Call], object], params: Mapping[str, Param] | None = None) -> Route:
    return Route(method, f"{_AGENT}/{name}", run, VM | dict(params or {}), _MONITOR, locked=False)


_INPUT = text(longest=65536)
_CONTENT = needed(text(longest=61440))
_FILE = needed(text())
ROUTES = (
    Route("GET", _AGENT, _index, VM),
    Route(
        "POST",
        _AGENT,
        _by_name,
        VM | {"command": needed(one_of(*sorted({*_READS, *_WRITES})))},
        _MONITOR,
        locked=False,
    ),
    *(_route("GET", name, _simple(name)) for name in _READS),
    *(_route("POST", name, _simple(name)) for name in _WRITES),
    _route("POST", "exec", _exec, {"command": needed(Param("array")), "input-data": _INPUT}),
    _route("GET", "exec-status", _exec_status, {"pid": needed(integer())}),
    _route("GET", "file-read", _file_read, {"file": _FILE}),
    _route("POST", "file-write", _file_write, {"file": _FILE, "content": _CONTENT, "encode": boolean()}),
)
