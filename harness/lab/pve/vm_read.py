"""Read a VM's configuration: as it will be, as it is, and what waits for the next start."""

from __future__ import annotations

from . import vm_options
from .call import Call, Route
from .failures import died
from .formats import config_id
from .path_params import VM
from .rights import perm
from .schema import boolean, needed, one_of, text
from .vm_config import HIDDEN, as_json, digest, pending_list


def _config(call: Call) -> object:
    record = call.sim.configs.record(call.vmid)
    if "snapshot" in call.params:
        raise died(f"snapshot '{call.params['snapshot']}' does not exist")
    return as_json(record, current=bool(call.params.get("current")))


def _pending(call: Call) -> object:
    return pending_list(call.sim.configs.record(call.vmid))


def _cloud_init(call: Call) -> object:
    config = call.sim.configs.record(call.vmid)["config"]
    keys = [key for key in vm_options.CLOUD_INIT if key in config]
    return [{"key": key, "value": HIDDEN if key == "cipassword" else config[key]} for key in keys]


def _snapshots(call: Call) -> object:
    """There are no snapshots yet, so only the present is listed."""
    record = call.sim.configs.record(call.vmid)
    running = int(call.sim.runtime.is_running(call.vmid) is not None)
    return [{"name": "current", "description": "You are here!", "digest": digest(record), "running": running}]


def _feature(call: Call) -> object:
    """A linked clone needs a template; copies always work, snapshots are not imitated."""
    config = call.sim.configs.source(call.vmid)["config"]
    wanted = call.params["feature"]
    has = wanted == "copy" or (wanted == "clone" and config.get("template") == "1")
    return {"hasFeature": int(has), "nodes": [call.sim.node]}


_AUDIT = perm("/vms/{vmid}", "VM.Audit")
_SNAPSHOT = text(config_id, longest=40)
_FEATURE = {"feature": needed(one_of("snapshot", "clone", "copy")), "snapname": _SNAPSHOT}
ROUTES = (
    Route(
        "GET",
        "/nodes/{node}/qemu/{vmid}/config",
        _config,
        VM | {"current": boolean(), "snapshot": _SNAPSHOT},
        _AUDIT,
    ),
    Route("GET", "/nodes/{node}/qemu/{vmid}/pending", _pending, VM, _AUDIT),
    Route("GET", "/nodes/{node}/qemu/{vmid}/cloudinit", _cloud_init, VM, _AUDIT),
    Route("GET", "/nodes/{node}/qemu/{vmid}/snapshot", _snapshots, VM, _AUDIT),
    Route("GET", "/nodes/{node}/qemu/{vmid}/feature", _feature, VM | _FEATURE, _AUDIT),
)
