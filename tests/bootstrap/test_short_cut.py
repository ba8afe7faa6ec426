"""`lab.up --bootstrapped` is no other host than the one `bootstrap` makes: whatever two labs can share is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from harness import lab
from tests.bootstrap.installed import SECRETS, Installed, installed_lab

pytestmark = pytest.mark.lab

LISTS = ("roles", "users --full 1", "acl")
PVE = (
    *(f"/access/{name}" for name in LISTS),
    "/pools",
    "/storage",
    "/cluster/backup",
    "/cluster/options",
    "/nodes/hv01/qemu/9000/config",
)
SYSTEM = {
    "packages": "dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\\n'",
    "held": "apt-mark showhold",
    "candidates": "apt-cache policy; apt-cache policy pve-manager",
    "units": "systemctl list-unit-files --no-legend --state=enabled",
    "sshd": "sshd -T -C user=root,host=x,addr=198.18.99.254",
    "clocks": "chronyc -n sources | cut --characters=4-20",
    "keys": "cut --delimiter=' ' --fields=1,3 /root/.ssh/authorized_keys",
}
TREES = "/etc /root /usr/local /var/lib/mgmt-harness /var/lib/dpkg /var/lib/apt/lists"
# The lab's own workings, what Ansible and apt need while they run, and lists that are made from others.
NOT_COMPARED = (
    *("/etc/mgmt-lab", "/etc/default/mgmt-lab-simulator", "/root/.ansible", "/var/lib/dpkg/status-old"),
    *("/var/lib/dpkg/lock", "/var/lib/dpkg/triggers/Lock", "/var/lib/apt/lists/lock", "/var/lib/apt/lists/partial"),
    "/var/lib/apt/lists/auxfiles",
)
# New with each lab: there only mode and owner are the same.
OWN = (
    *("/etc/machine-id", "/etc/shadow", "/etc/ssh/ssh_host_ed25519_key", "/etc/pve/nodes/hv01/pve-ssl"),
    *("/etc/pve/pve-root-ca.pem", "/etc/pve/priv/authorized_keys", "/root/.ssh/id_rsa"),
)


def state(host: Installed) -> dict[str, Any]:
    """The host, and what is kept of it here."""
    told: dict[str, Any] = {path: _lasting(host.pvesh(f"get {path}")) for path in PVE}
    told["pools"] = [_lasting(host.pvesh(f"get /pools/{pool['poolid']}")) for pool in told["/pools"]]
    told |= {name: host.inside(command) for name, command in SYSTEM.items()}
    told["files"] = _files(host)
    told["kept"] = sorted((str(one.relative_to(SECRETS)), oct(one.stat().st_mode)) for one in SECRETS.rglob("*"))
    told["pinned"] = sorted(line.split()[:2] for line in (SECRETS / "ssh/known_hosts").read_text().splitlines())
    told["tokens"] = [len(one.read_text()) for one in sorted(SECRETS.glob("*.token"))]
    return told


def _lasting(entry: Any) -> Any:
    if isinstance(entry, list):
        return sorted((_lasting(one) for one in entry), key=str)
    return {key: value for key, value in entry.items() if key != "next-run"} if isinstance(entry, dict) else entry


def _files(host: Installed) -> dict[str, str]:
    """Every path with kind, mode, owner and content."""
    trees = host.inside(f"for tree in {TREES}; do if [ -e $tree ]; then echo $tree; fi; done").replace("\n", " ")
    listed = host.inside(f"find {trees} -xdev -printf '%p\\t%y:%l %m %u:%g\\n'")
    hashed = host.inside(f"find {trees} -xdev -type f -exec sha256sum {{}} +")
    content = {path: digest for digest, path in (line.split("  ", 1) for line in hashed.splitlines())}
    return {
        path: facts if path.startswith(OWN) else f"{facts} {content.get(path)}"
        for path, facts in (line.split("\t") for line in listed.splitlines())
        if not path.startswith(NOT_COMPARED)
    }


def differing(seen: dict[str, Any], wanted: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = sorted(seen.keys() | wanted.keys())
    return {name: (seen.get(name), wanted.get(name)) for name in names if seen.get(name) != wanted.get(name)}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Before bootstrap and after it."""
    with installed_lab(tmp_path_factory.mktemp("real")) as host:
        before = state(host)
        ended = host.bootstrap()
        assert ended.status == 0, ended.said
        return {"before": before, "after": state(host)}


@pytest.fixture(scope="module")
def short(real: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """After `real`: there is one lab at a time."""
    assert real
    with installed_lab(tmp_path_factory.mktemp("short"), "bootstrapped") as host:
        yield host


def test_the_short_cut_is_what_bootstrap_leaves(real: dict[str, dict[str, Any]], short: Installed) -> None:
    seen, wanted = state(short), dict(real["after"])
    assert differing(seen.pop("files"), wanted.pop("files")) == {}
    assert differing(seen, wanted) == {}


def test_bootstrap_finds_nothing_to_do_there(short: Installed) -> None:
    ended = short.bootstrap()
    assert ended.status == 0, ended.said
    assert "changed=0 failed=0" in ended.out
    assert "nothing changed" in ended.out


def test_the_comparison_sees_what_bootstrap_does(real: dict[str, dict[str, Any]]) -> None:
    """All that it changes shows in what is compared; the rest is as the installer left it."""
    before, after = real["before"], real["after"]
    assert {name for name in before if before[name] == after[name]} == {
        "/cluster/options",
        "/nodes/hv01/qemu/9000/config",
        "units",
    }
    made = {path for path, _ in after["files"].items() - before["files"].items()}
    assert {"/etc/apt/preferences.d/mgmt-harness", "/etc/chrony/chrony.conf", "/var/lib/mgmt-harness/tokens"} <= made


def test_its_status_tells_a_client_the_same(real: dict[str, dict[str, Any]], short: Installed) -> None:
    """Both tokens, the fingerprint and the ways in."""
    assert real
    told = json.loads(json.dumps(lab.status().to_json()))
    assert told["hypervisor_state"] == "bootstrapped"
    assert sorted(told["api"]["tokens"]) == ["provision", "verify"]
    assert (SECRETS / "api.fingerprint").read_text().strip() == told["api"]["fingerprint"]
    assert short.inside("hostname") == "hv01"
