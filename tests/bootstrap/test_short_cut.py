"""`lab.up --bootstrapped` is no other host than the one `bootstrap` makes: whatever two labs can share is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness import lab
from tests.bootstrap.installed import SECRETS, Installed, installed_lab
from tests.bootstrap.states import differing, state

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def short(undisturbed: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """After `undisturbed`: there is one lab at a time."""
    assert undisturbed
    with installed_lab(tmp_path_factory.mktemp("short"), "bootstrapped") as host:
        yield host


def test_the_short_cut_is_what_bootstrap_leaves(undisturbed: dict[str, dict[str, Any]], short: Installed) -> None:
    seen, wanted = state(short), dict(undisturbed["after"])
    assert differing(seen.pop("files"), wanted.pop("files")) == {}
    wanted["left"] = [line for line in wanted["left"] if "ansible" not in line]  # it has never been in the other one
    assert differing(seen, wanted) == {}


def test_bootstrap_finds_nothing_to_do_there(short: Installed) -> None:
    ended = short.bootstrap()
    assert ended.status == 0, ended.said
    assert "changed=0 failed=0" in ended.out
    assert "nothing changed" in ended.out


def test_the_comparison_sees_what_bootstrap_does(undisturbed: dict[str, dict[str, Any]]) -> None:
    """All that it changes shows in what is compared; the rest is as the installer left it."""
    before, after = undisturbed["before"], undisturbed["after"]
    assert {name for name in before if before[name] == after[name]} == {
        "/cluster/options",
        "/nodes/hv01/qemu/9000/config",
        "unfinished",
        "units",
    }
    made = {path for path, _ in after["files"].items() - before["files"].items()}
    assert {"/etc/apt/preferences.d/mgmt-harness", "/etc/chrony/chrony.conf", "/var/lib/mgmt-harness/tokens"} <= made


def test_its_status_tells_a_client_the_same(undisturbed: dict[str, dict[str, Any]], short: Installed) -> None:
    """Both tokens, the fingerprint and the ways in."""
    assert undisturbed
    told = json.loads(json.dumps(lab.status().to_json()))
    assert told["hypervisor_state"] == "bootstrapped"
    assert sorted(told["api"]["tokens"]) == ["provision", "verify"]
    assert (SECRETS / "api.fingerprint").read_text().strip() == told["api"]["fingerprint"]
    assert short.inside("hostname") == "hv01"
