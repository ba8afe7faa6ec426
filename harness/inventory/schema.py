"""Describe our keys as a JSON Schema, so that an editor completes and checks a vars file."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from harness.inventory import models
from harness.inventory.fields import Model
from harness.inventory.workload_models import Workload

_KEYS: dict[str, type[Model]] = {
    "mgmt_site": models.Site,
    "mgmt_mac_namespace": models.MacNamespace,
    "mgmt_hypervisor": models.Hypervisor,
    "mgmt_router": models.Router,
    "mgmt_vm": models.Vm,
    "mgmt_vm_defaults": models.Vm,
    "infrastructure": models.Infrastructure,
    "env": models.Env,
}


def json_schema() -> dict[str, Any]:
    """One schema for every file of group_vars and host_vars; keys that are not ours are left alone."""
    wanted: set[type[Model]] = {*_KEYS.values(), models.Waiver, Workload, models.Vlan}
    _, made = models_json_schema([(model, "validation") for model in sorted(wanted, key=lambda model: model.__name__)])
    definitions = made["$defs"]
    # mgmt_vm is completed by mgmt_vm_defaults, so neither file need hold every key.
    definitions["Vm"].pop("required")
    properties: dict[str, Any] = {key: _reference(model) for key, model in _KEYS.items()}
    properties["mgmt_waivers"] = {"type": "array", "items": _reference(models.Waiver)}
    properties["mgmt_workloads"] = {"type": "object", "additionalProperties": _reference(Workload)}
    properties["deevnet_vlans"] = {"type": "object", "additionalProperties": _reference(models.Vlan)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Variables of a management-plane inventory",
        "type": "object",
        "properties": properties,
        "patternProperties": {f"^mgmt_(?!({'|'.join(key.removeprefix('mgmt_') for key in properties)})$)": False},
        "$defs": definitions,
    }


def _reference(model: type[Model]) -> dict[str, str]:
    return {"$ref": f"#/$defs/{model.__name__}"}
