"""./invoke preflight on the lab: as the installer leaves the host, as it should be, and all wrong at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from harness.privileges import ROLES
from tests.bootstrap.installed import SECRETS, STATE, Installed, installed_lab

pytestmark = pytest.mark.lab

STOPPING = {"failed", "unknown"}


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed_lab(tmp_path_factory.mktemp("declared"), "bootstrapped") as site:
        site.inside("touch /tmp/since && sleep 0.1")
        yield site


@contextmanager
def broken(site: Installed, change: str, mend: str, host: str = "core-rt01") -> Iterator[None]:
    site.inside(change, host=host)
    try:
        yield
    finally:
        site.inside(mend, host=host)


def taken(site: Installed, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and each check by its name."""
    ended = site.invoke("preflight", "--json", *arguments)
    assert "Traceback" not in ended.said
    return ended.status, {check["id"]: check for check in json.loads(ended.out)["checks"]}


def stopping(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What stands in the way for a reason of its own, and every such reason says what to do."""
    findings = {name: [one for one in check["findings"] if one["state"] in STOPPING] for name, check in checks.items()}
    assert all(one["do"] for found in findings.values() for one in found)
    own = {name: [one for one in found if one["because"] is None] for name, found in findings.items()}
    return {name: "; ".join(f"{one['said']}. {one['do']}" for one in found) for name, found in own.items() if found}


def test_as_the_installer_leaves_it_only_bootstrap_is_missing(tmp_path_factory: pytest.TempPathFactory) -> None:
    with installed_lab(tmp_path_factory.mktemp("installed")) as site:
        site.inside("touch /tmp/since && sleep 0.1")
        before = site.inside(STATE)
        status, checks = taken(site)
        assert site.inside(STATE) == before
        assert not any("hv01" in line for line in (SECRETS / "ssh/known_hosts").read_text().splitlines())
        assert status == 2
        assert set(stopping(checks)) == {"host.repositories", "api.certificate"}
        assert all("Run ./invoke bootstrap" in said for said in stopping(checks).values())
        assert taken(site, "--before=bootstrap")[0] == 0
        assert checks["ssh.login"]["findings"][0]["said"].startswith("hv01 does not take our key yet")
        # Nobody could look at the API; everything else was looked at, by the password.
        assert {check["findings"][0]["because"] for check in checks.values()} == {None, "api.certificate"}
        imported = site.invoke("inventory.import")
        assert imported.status == 2
        assert "Run ./invoke bootstrap" in imported.said


def test_nothing_stands_in_the_way_of_the_lab(declared: Installed) -> None:
    before = declared.inside(STATE)
    status, checks = taken(declared)
    assert (status, stopping(checks)) == (0, {})
    assert checks["time"]["state"] == "ok"
    assert declared.inside(STATE) == before


RESERVATIONS = "/etc/mgmt-dnsmasq/hosts.dhcp"
WRONG = {
    "bootstrap.refusals": "the declared package repository does not answer: Failed to fetch http://198.18.99.1/packages",
    "host.repositories": "a package repository of hv01 does not answer: http://198.18.99.1/packages",
    "artifacts": "the hypervisor gets no web answer from 198.18.99.1",
    "time": "hv01 gets no time from 198.18.99.1",
    "dhcp.reservations": (
        "of metrics-vm01 on core-rt01: expected 02:de:99:01:01:01 -> 198.18.99.30 (metrics-vm01), seen nothing"
    ),
    "storages": "the storage local-lvm is disabled. Run ./invoke bootstrap, or on the node: pvesm set local-lvm",
    "provision.plan": "the storage local-lvm of template debian-lab-12 is disabled",
    "host.packages": "dpkg was interrupted on hv01",
    "hardware.memory": "declared is 32 GiB installed",
    "token.provision": "pveum acl modify /pool/mgmt",
}
BREAKING = {
    "systemctl stop artifacts chrony": ("systemctl start artifacts chrony", "core-rt01"),
    f"cp {RESERVATIONS} /tmp/kept && sed -i /metrics-vm01/d {RESERVATIONS} && systemctl reload dnsmasq": (
        f"cp /tmp/kept {RESERVATIONS} && systemctl reload dnsmasq",
        "core-rt01",
    ),
    "pvesh set /storage/local-lvm --disable 1": ("pvesh set /storage/local-lvm --disable 0", "hv01"),
    "touch /var/lib/dpkg/updates/0001": ("rm /var/lib/dpkg/updates/0001", "hv01"),
    "pveum acl delete /pool/mgmt --roles MgmtProvision --tokens provision@pve!harness": (
        "pveum acl modify /pool/mgmt --roles MgmtProvision --tokens provision@pve!harness",
        "hv01",
    ),
}


def test_everything_that_is_wrong_is_told_at_once(declared: Installed) -> None:
    waivers = declared.folder / "inventory/lab/group_vars/all/mgmt.yml"
    text = waivers.read_text()
    waivers.write_text(text.replace("clause: hardware.memory", "clause: identity.no-strangers"))
    with ExitStack() as mends:
        mends.callback(waivers.write_text, text)
        for change, (mend, host) in BREAKING.items():
            mends.enter_context(broken(declared, change, mend, host))
        status, checks = taken(declared)
    said = stopping(checks)
    assert status == 2
    assert set(said) == set(WRONG)
    assert {name: (words, said[name]) for name, words in WRONG.items() if words not in said[name]} == {}
    assert taken(declared)[0] == 0, "one of them was not mended"


def test_an_artifact_folder_that_is_gone(declared: Installed) -> None:
    folder = "/srv/artifacts/packages"
    with broken(declared, f"mount -t tmpfs tmpfs {folder}", f"umount {folder}"):
        said = stopping(taken(declared)[1])
    assert set(said) == {"bootstrap.refusals", "host.repositories"}, "the declared one, and the one it has on"
    assert all("404" in words for words in said.values())


def test_a_dns_server_that_is_dead_is_one_reason(declared: Installed) -> None:
    with broken(declared, "systemctl stop dnsmasq", "systemctl start dnsmasq"):
        said = stopping(taken(declared)[1])
    assert set(said) == {"authority", "dhcp.reservations"}
    assert "no answer within the time limit" in said["authority"]
    assert "no dnsmasq is running there" in said["dhcp.reservations"]


def test_another_host_key_stops_every_look_at_the_host(declared: Installed) -> None:
    keys = "/etc/ssh/ssh_host_ed25519_key"
    change = (
        f"cp -a {keys} {keys}.kept && rm {keys} && ssh-keygen -q -t ed25519 -N '' -f {keys} && systemctl restart ssh"
    )
    mend = f"mv {keys}.kept {keys} && ssh-keygen -y -f {keys} >{keys}.pub && systemctl restart ssh"
    with broken(declared, change, mend, "hv01"):
        said = stopping(taken(declared)[1])
    assert set(said) == {"ssh.host-key", "ssh.login"}
    assert "ssh-keygen -R hv01 -f /var/lib/mgmt-lab/secrets/ssh/known_hosts, then bootstrap it" in said["ssh.host-key"]


PRIVILEGES = {
    "a role that lost one": (
        "token.provision",
        f"pveum role modify MgmtProvision --privs '{ROLES['MgmtProvision'].replace('VM.Clone ', '')}'",
    ),
    "a grant that is gone": ("token.verify", "pveum acl delete / --roles MgmtAudit --tokens verify@pve!harness"),
    "the one that does not propagate": (
        "token.provision",
        "pveum acl delete / --roles MgmtStartup --users provision@pve",
    ),
}


@pytest.mark.parametrize(("check", "change"), PRIVILEGES.values(), ids=PRIVILEGES)
def test_the_command_told_gives_a_removed_privilege_back(declared: Installed, check: str, change: str) -> None:
    before = grants(declared)
    declared.inside(change)
    findings = taken(declared)[1][check]["findings"]
    for command in [one["do"].split("`")[1] for one in findings if "pveum" in one["do"]]:
        declared.inside(command)
    assert taken(declared)[0] == 0
    assert grants(declared) == before


def grants(site: Installed) -> tuple[dict[str, set[str]], set[tuple[str, ...]]]:
    """The roles with their privileges, and who was given which role where."""
    roles = {one["roleid"]: set(str(one["privs"]).split(",")) for one in site.pvesh("get /access/roles")}
    keys = ("path", "type", "ugid", "roleid", "propagate")
    return roles, {tuple(str(one[key]) for key in keys) for one in site.pvesh("get /access/acl")}
