"""A hypervisor that must not be bootstrapped is refused with one sentence, before anything changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bootstrap.look import Found, parse_sections
from harness.bootstrap.refusing import refusals
from harness.contract import ApiToken, Contract, SecretRef
from tests import sites

STORAGES = [{"storage": "local-lvm", "type": "lvmthin", "content": "images"}]
USERS = [{"userid": "root@pam", "tokens": []}]
MADE = [{"userid": "verify@pve", "tokens": [{"tokenid": "harness"}]}]

# As the installer leaves a host, in the words of the real programs.
GOOD = {
    "os": 'ID=debian\nVERSION_ID="12"\n',
    "manager": "install ok installed|8.4.0\n",
    "cluster": "",
    "members": '{"nodename": "hv01", "version": 0}',
    "dpkg": "",
    "held": "",
    "disk": "/ 9000000000\n/var 9000000000\n",
    "nics": "eno1\nlo\nvmbr0\n",
    "storages": json.dumps(STORAGES),
    "users": json.dumps(USERS),
    "tokens": "",
    "chrony": "chrony",
    "repository": "Hit:1 http://198.18.99.1/packages ./ InRelease\nReading package lists...\n",
    "offered": " pve-manager |      8.4.5 | http://198.18.99.1/packages ./ Packages\n"
    " pve-manager |      8.4.1 | http://198.18.99.1/packages ./ Packages\n",
    "end": "",
}


def contract(secret: SecretRef | None = None) -> Contract:
    plain = sites.contract()
    tokens = {"verify": ApiToken("verify@pve!harness", secret or SecretRef("file", "/nowhere/verify.token"))}
    api = replace(plain.hypervisor.api, tokens=tokens)
    return replace(plain, hypervisor=replace(plain.hypervisor, api=api, time_servers=("198.18.99.1",)))


def reasons(
    changes: Mapping[str, str], *, held: bool = False, rotate: bool = False, secret: SecretRef | None = None
) -> list[str]:
    found = Found({**GOOD, **changes})
    return [str(error) for error in refusals(contract(secret), found, held=lambda _: held, rotate=rotate)]


def test_what_the_installer_leaves_is_taken() -> None:
    assert reasons({}) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster": "/etc/pve/corosync.conf\n"}, "a member of a cluster (/etc/pve/corosync.conf)"),
        ({"members": '{"nodename": "a", "version": 4, "cluster": {"name": "x"}}'}, "a member of a cluster"),
        ({"manager": "install ok installed|9.0.3\n"}, "runs Proxmox VE 9.0.3, and the inventory declares 8.4.1"),
        ({"manager": "dpkg-query: no packages found matching pve-manager\n"}, "pve-manager is not installed"),
        ({"os": 'ID=debian\nVERSION_ID="13"\n'}, "its base is debian 13"),
        (
            {"dpkg": "The following packages are only half configured, probably due to problems\n pve-manager  x\n"},
            "dpkg has not finished with pve-manager",
        ),
        ({"disk": "/ 9000000000\n/var 5242880\n"}, "5 MiB are free at /var, 200 MiB are needed"),
        (
            {"repository": "Err:1 http://x ./\nE: Failed to fetch http://x ./\nupdate ended with 100\n"},
            "the declared package repository does not answer",
        ),
        ({"offered": " pve-manager | 8.4.5 | http://x ./ Packages\n"}, "have no pve-manager 8.4.1, but 8.4.5"),
        ({"nics": "enp3s0\nlo\n"}, "no NIC eno1 for the bridge vmbr0, but enp3s0, lo"),
        (
            {"storages": "ipcc_send_rec[1] failed: Connection refused\n"},
            "does not answer there: ipcc_send_rec[1] failed",
        ),
        (
            {"storages": json.dumps([*STORAGES, {"storage": "nas", "type": "nfs", "content": "backup"}])},
            "its storage nas (nfs) is shared or remote",
        ),
        (
            {"storages": json.dumps([{**STORAGES[0], "shared": 1}])},
            "its storage local-lvm (shared lvmthin) is shared or remote",
        ),
        ({"storages": "[]"}, "its storage local-lvm, declared as lvmthin, is not there"),
        ({"chrony": ""}, "no chrony"),
        ({"users": json.dumps(MADE)}, "does not hold its secret"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_is_refused_with_one_sentence(changes: Mapping[str, str], words: str) -> None:
    found = reasons(changes)
    assert len(found) == 1, found
    assert words in found[0]
    assert "nothing was changed" in found[0]


def test_every_reason_is_told_at_once() -> None:
    assert len(reasons({"cluster": "/etc/pve/corosync.conf\n", "disk": "/ 0\n", "chrony": ""})) == 3


def test_a_disabled_remote_storage_is_nobodys_business() -> None:
    remote = [*STORAGES, {"storage": "nas", "type": "nfs", "disable": 1}]
    assert reasons({"storages": json.dumps(remote)}) == []


def test_a_token_is_made_only_where_its_secret_can_go() -> None:
    nowhere = SecretRef("env", "VERIFY")
    assert "cannot be written to the environment variable VERIFY" in reasons({}, secret=nowhere)[0]
    assert reasons({"users": json.dumps(MADE)}, held=True, secret=nowhere) == []
    assert "cannot be written" in reasons({"users": json.dumps(MADE)}, held=True, rotate=True, secret=nowhere)[0]
    assert reasons({}, secret=SecretRef("command", ("pass", "show", "x"), ("pass", "insert", "-m", "x"))) == []


def test_a_secret_that_still_waits_on_the_host_is_no_reason() -> None:
    assert reasons({"users": json.dumps(MADE), "tokens": "verify\n"}) == []


def test_the_answers_are_split_where_the_script_says() -> None:
    assert parse_sections("noise\n\n== a\n1\n2\n\n== b\n== end\n") == {"a": "1\n2\n\n", "b": "", "end": ""}


def test_holds_are_told_with_who_pins_them() -> None:
    pins = "/etc/apt/preferences.d/x:Package: proxmox-ve other\n/etc/apt/preferences.d/x:Pin: version 8.4.0\n"
    found = Found({**GOOD, "held": "proxmox-ve\npve-manager\n", "pins": pins})
    assert found.held == ("proxmox-ve", "pve-manager")
    assert found.pins == {
        "proxmox-ve": "version 8.4.0 by /etc/apt/preferences.d/x",
        "other": "version 8.4.0 by /etc/apt/preferences.d/x",
    }


def test_no_path_of_this_machine_is_needed(tmp_path: Path) -> None:
    """The reasons are decided from values alone."""
    assert reasons({}, secret=SecretRef("file", str(tmp_path / "a/b"))) == []
    assert list(tmp_path.iterdir()) == []
