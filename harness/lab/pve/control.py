"""The tests' side door: a unix socket in the state directory, one JSON object per line each way. Not PVE's API."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from .failures import ApiError
from .faults import Chaos, Fault
from .seed import apply_seed
from .simulator import Simulator
from .snapshots import restore, take
from .waiting import pause

Operation = Callable[[Simulator, Mapping[str, Any]], object]


def serve_control(sim: Simulator, path: Path) -> None:
    """Answer on `path` in the background."""
    path.unlink(missing_ok=True)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(json.dumps(_answer(sim, line)).encode() + b"\n")

    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    server.daemon_threads = True
    path.chmod(0o600)
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()


def _answer(sim: Simulator, line: bytes) -> dict[str, object]:
    try:
        request = json.loads(line)
        operation = OPERATIONS.get(request["op"])
        if operation is None:
            return {"ok": False, "error": f"unknown op {request['op']!r}; one of {', '.join(OPERATIONS)}"}
        return {"ok": True, "result": operation(sim, request)}
    except (ApiError, KeyError, OSError, TypeError, ValueError) as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}


def _counters(sim: Simulator, request: Mapping[str, Any]) -> object:  # noqa: ARG001 - one shape for all operations
    return sim.counters.report()


def _moments(sim: Simulator, request: Mapping[str, Any]) -> object:  # noqa: ARG001 - one shape
    """How many requests came since the counters were reset, and how often the state was saved since `clear-faults`."""
    return {"requests": sim.counters.requests, "saves": sim.faults.saves}


def _writes(sim: Simulator, request: Mapping[str, Any]) -> object:  # noqa: ARG001 - one shape
    """The writes that arrived since the counters were reset, in their order."""
    return sim.counters.written()


def _tasks(sim: Simulator, request: Mapping[str, Any]) -> object:  # noqa: ARG001 - one shape
    """When each task began and ended, on this machine's clock; newest first."""
    return [{key: record.get(key) for key in ("upid", "type", "id", "began", "ended")} for record in sim.tasks.all()]


def _work(sim: Simulator, request: Mapping[str, Any]) -> None:
    sim.tasks.take_work(request["work"])


def _reset_counters(sim: Simulator, request: Mapping[str, Any]) -> None:  # noqa: ARG001 - one shape
    sim.counters.reset()


def _fault(sim: Simulator, request: Mapping[str, Any]) -> None:
    sim.faults.add(_read_fault(request))


def _take_back(sim: Simulator, request: Mapping[str, Any]) -> None:
    """The fault that was asked for with the same words, and no other."""
    sim.faults.take_back(_read_fault(request))


def _read_fault(request: Mapping[str, Any]) -> Fault:
    known = {field.name for field in fields(Fault)}
    return Fault(**{key: value for key, value in request.items() if key in known})


def _chaos(sim: Simulator, request: Mapping[str, Any]) -> None:
    """Until `clear-faults`: this share of calls meets one of `calls`, of tasks one of `tasks`."""
    calls, tasks = ([_read_fault(fault) for fault in request.get(key, ())] for key in ("calls", "tasks"))
    sim.faults.unleash(Chaos(int(request["seed"]), float(request["share"]), calls, tasks))


def _snapshot(sim: Simulator, request: Mapping[str, Any]) -> None:
    take(sim, request["name"])


def _restore(sim: Simulator, request: Mapping[str, Any]) -> None:
    restore(sim, request["name"])


def _faults(sim: Simulator, request: Mapping[str, Any]) -> object:  # noqa: ARG001 - one shape
    return sim.faults.listed()


def _clear_faults(sim: Simulator, request: Mapping[str, Any]) -> None:  # noqa: ARG001 - one shape
    sim.faults.clear()


def _edit_config(sim: Simulator, request: Mapping[str, Any]) -> None:
    with sim.state.changing():
        config = sim.configs.record(int(request["vmid"]))["config"]
        for key in request.get("delete", []):
            config.pop(key, None)
        config |= {key: str(value) for key, value in request.get("set", {}).items()}


def _fill_storage(sim: Simulator, request: Mapping[str, Any]) -> None:
    with sim.state.changing():
        record = sim.storages.config(request["storage"])
        record.pop("available_bytes", None)
        if request["available_bytes"] is not None:
            record["available_bytes"] = int(request["available_bytes"])


def _hold_lock(sim: Simulator, request: Mapping[str, Any]) -> object:
    """Returns when the lock is held."""
    held = threading.Event()

    def hold() -> None:
        with sim.locks.exclusive(int(request["vmid"])):
            held.set()
            pause(float(request["seconds"]))

    threading.Thread(target=hold, name="held lock", daemon=True).start()
    return held.wait(10)


def _seed(sim: Simulator, request: Mapping[str, Any]) -> None:
    apply_seed(sim, request["seed"], Path(request.get("directory", "/")))


def _remove_volume(sim: Simulator, request: Mapping[str, Any]) -> None:
    with sim.state.changing() as data:
        del data["volumes"][request["volid"]]


def _edit_volume(sim: Simulator, request: Mapping[str, Any]) -> None:
    """Such as `ctime`: a backup grows old without anybody waiting for it."""
    with sim.state.changing():
        sim.storages.volume(request["volid"]).update(request["set"])


def _edit_log(sim: Simulator, request: Mapping[str, Any]) -> None:
    """In the newest log of that type of task with a line `after`, the next line of that pattern said something else."""
    with sim.state.changing() as data:
        logs = (
            one["log"] for one in data["tasks"] if one["type"] == request["task"] and request["after"] in one["log"]
        )
        log = next(logs, None)
        if log is None:
            raise ValueError(f"no task {request['task']} said {request['after']!r}")
        following = range(log.index(request["after"]), len(log))
        at = next((at for at in following if re.search(request["pattern"], log[at])), None)
        if at is None:
            raise ValueError(f"after {request['after']!r} there is no {request['pattern']!r}")
        log[at] = re.sub(request["pattern"], request["new"], log[at])


def _broadcast(sim: Simulator, request: Mapping[str, Any]) -> None:
    """One round of pvestatd now, blind for the VMs of `except`; `regular` false stops the rounds of its own."""
    sim.broadcasts.is_regular = bool(request.get("regular", True))
    sim.broadcasts.refresh(sim, blind_for={int(vmid) for vmid in request.get("except", [])})


def _kill_task(sim: Simulator, request: Mapping[str, Any]) -> None:
    sim.tasks.kill(request["upid"])


OPERATIONS: Mapping[str, Operation] = {
    "counters": _counters,
    "moments": _moments,
    "writes": _writes,
    "tasks": _tasks,
    "work": _work,
    "reset-counters": _reset_counters,
    "fault": _fault,
    "faults": _faults,
    "take-back": _take_back,
    "clear-faults": _clear_faults,
    "chaos": _chaos,
    "snapshot": _snapshot,
    "restore": _restore,
    "edit-config": _edit_config,
    "edit-volume": _edit_volume,
    "edit-log": _edit_log,
    "fill-storage": _fill_storage,
    "hold-lock": _hold_lock,
    "broadcast": _broadcast,
    "kill-task": _kill_task,
    "remove-volume": _remove_volume,
    "seed": _seed,
}


def ask(path: Path, request: Mapping[str, Any]) -> Any:
    """One request to a running simulator; its refusal is a ValueError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(connection.makefile("rb").readline())
    if not answer["ok"]:
        raise ValueError(answer["error"])
    return answer["result"]


if __name__ == "__main__":
    print(json.dumps(ask(Path(sys.argv[1]), json.loads(sys.argv[2]))))
