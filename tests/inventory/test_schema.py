"""The JSON Schema for editors accepts the shipped files and refuses what the loader refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.inventory.positions import read_document
from harness.inventory.schema import json_schema
from tests.inventory.trees import SHIPPED

FILES = sorted(file for folder in ("group_vars", "host_vars") for file in SHIPPED.glob(f"*/{folder}/**/*.yml"))


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda day: day.isoformat()))


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_there_are_files_to_judge() -> None:
    assert len(FILES) >= 3 * 17


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SHIPPED)))
def test_accepts_the_shipped_file(file: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(as_json(read_document(file).data))


@pytest.mark.parametrize(
    "data",
    [
        {"mgmt_sites": {}},
        {"mgmt_vm": {"memory": 1}},
        {"mgmt_vm": {"vmid": 99}},
        {"mgmt_vm": {"category": "network"}},
        {"mgmt_vm": {"responsibilities": ["dns"]}},
        {"mgmt_vm_defaults": {"ssh": {"usr": "root"}}},
        {"mgmt_waivers": [{"clause": "hardware.memory", "reason": "x"}]},
        {"mgmt_site": {"status": "broken"}},
        {"mgmt_mac_namespace": {"prefix": "02:de", "environment": 20, "roles": {}, "groups": {}}},
        {"mgmt_hypervisor": {"node": "hv01"}},
        {"mgmt_router": {"kind": "cisco"}},
        {"mgmt_router": {"kind": "vyos", "api": {"url": "https://r:443", "ca_file": "ca.pem", "key": "plain"}}},
        {"infrastructure": {"interfaces": {"eth0": {"mac": 5}}}},
    ],
    ids=lambda data: json.dumps(data)[:60],
)
def test_refuses(data: dict[str, Any], validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(data)


def test_leaves_the_keys_of_others_alone(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(
        {"switch_ports": [1], "env": {"role": "x", "more": 1}, "deevnet_vlans": {"a": {"wifi_ssid": "b"}}}
    )


def test_explains_its_keys() -> None:
    definitions = json_schema()["$defs"]
    assert "unique over all sites" in definitions["Vm"]["properties"]["vmid"]["description"]
    assert "required" not in definitions["Vm"]
