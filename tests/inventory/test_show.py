"""The resolved view is plain data and holds no secret."""

from __future__ import annotations

import json
from pathlib import Path

from harness import inventory
from harness.inventory import resolve
from harness.inventory.show import show
from tests.inventory.trees import SHIPPED


def test_shows_the_whole_contract_as_plain_data() -> None:
    shown = show(resolve(inventory.load(SHIPPED, "lab"), state_dir=Path("/state")))
    assert json.loads(json.dumps(shown)) == shown
    metrics = next(guest for guest in shown["guests"] if guest["name"] == "metrics-vm01")
    assert metrics["nic"]["mac"] == "02:de:99:01:01:01"
    assert metrics["nic"]["address"] == "198.18.99.30/24"
    assert metrics["declared"].endswith("inventory/lab/host_vars/metrics-vm01.yml:22")
    assert shown["hypervisor"]["api"]["fingerprint"] == {"file": "/var/lib/mgmt-lab/secrets/api.fingerprint"}
    assert shown["hypervisor"]["storages"][0]["content"] == ["backup", "import", "iso", "snippets", "vztmpl"]
    assert shown["waivers"][0]["until"] == "2027-02-15"
