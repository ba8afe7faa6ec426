"""From the installer's state to the contract: once, again, after drift and after an upgrade."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.bootstrap.installed import SECRETS, TOKENS, Installed, call, installed_lab, lines_with
from tests.site.driver import Ended

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed_lab(tmp_path_factory.mktemp("bootstrap")) as found:
        # Without internet: no way out, and a resolver that knows the lab only.
        found.inside("ip route delete default && ! ip route show default | grep .")
        yield found


@pytest.fixture(scope="module")
def first(installed: Installed) -> Ended:
    return installed.bootstrap()


@pytest.fixture
def site(installed: Installed, first: Ended) -> Installed:
    assert first.status == 0, first.said
    return installed


def test_the_installers_host_becomes_the_declared_one(site: Installed, first: Ended) -> None:
    assert "failed=0" in first.out
    assert site.version() == "8.4.1"
    assert site.inside("apt-mark showhold") == "pve-manager"
    enabled = site.inside("grep -rhE '^(deb|Types)' /etc/apt/sources.list /etc/apt/sources.list.d")
    assert enabled == "deb [trusted=yes] http://198.18.99.1/packages ./"
    effective = site.inside("sshd -T -C user=root,host=x,addr=198.18.99.254").splitlines()
    assert {"passwordauthentication no", "permitrootlogin without-password"} <= set(effective)
    assert {pool["poolid"] for pool in site.pvesh("get /pools")} == {"mgmt"}
    assert [vm["vmid"] for vm in site.pvesh("get /pools/mgmt")["members"]] == [9000]
    contents = {one["storage"]: set(one["content"].split(",")) for one in site.pvesh("get /storage")}
    assert contents["local"] == {"iso", "vztmpl", "backup", "import", "snippets"}
    (job,) = site.pvesh("get /cluster/backup")
    assert (job["id"], job["pool"], job["storage"], job["enabled"]) == ("nightly", "mgmt", "local", 1)
    assert "198.18.99.1" in site.inside("chronyc -n sources")
    assert "root@hv01" in site.inside("cat /root/.ssh/authorized_keys"), "PVE's own key must stay"


def test_a_second_run_changes_nothing_and_tells_what_else_is_on_hold(site: Installed) -> None:
    site.inside("apt-mark hold openssl")
    try:
        ended = site.bootstrap()
    finally:
        site.inside("apt-mark unhold openssl")
    assert ended.status == 0, ended.said
    assert "changed=0 failed=0" in ended.out
    assert "nothing changed" in ended.out
    assert "openssl is on hold as well, not by us (no pin says why)" in ended.out


DRIFT = {
    "apt-mark unhold pve-manager": "version: Hold pve-manager: would change",
    "apt-get -qy --allow-downgrades install pve-manager=8.4.0": (
        "version: Install pve-manager 8.4.1: would change - 8.4.0 -> 8.4.1"
    ),
    "sed -i 's/^# deb/deb/' /etc/apt/sources.list.d/ceph.list": (
        "repositories: Switch off the undeclared repositories: would change - /etc/apt/sources.list.d/ceph.list"
    ),
    "sed -i 's/iburst/offline/' /etc/chrony/sources.d/mgmt-harness.sources": (
        "time: Switch on the declared time servers: would change"
    ),
    "rm /etc/ssh/sshd_config.d/00-mgmt-harness.conf && systemctl reload ssh": "ssh: Take keys only: would change",
    "sed -i 's/bridge-stp off/bridge-stp on/' /etc/network/interfaces": "bridge: Declare the bridges: would change",
    "pvesh set /storage/local --content iso,vztmpl,backup": (
        "storages: Set what the storages hold: would change - storage local: content +import +snippets"
    ),
    "pvesh set /pools/mgmt --vms 9000 --delete 1": (
        "pool: Put the declared templates into the pool: would change - template debian-lab-12 (9000): in the pool mgmt"
    ),
    "pvesh set /access/roles/MgmtAudit --privs Sys.Audit,Sys.Modify": (
        "access: Set the roles: would change - role MgmtAudit:"
        " +Datastore.Audit +Pool.Audit +SDN.Audit +VM.Audit -Sys.Modify"
    ),
    "pvesh set /access/acl --path /vms --roles PVEVMAdmin --users verify@pve": (
        "access: Set who may do what: would change - verify@pve no longer PVEVMAdmin on /vms"
    ),
    "pvesh set /cluster/backup/nightly --enabled 0": (
        "backup: Set the backup job: would change - backup job nightly: enabled 0 -> 1"
    ),
}
# Whoever changes a file of chrony's and does not restart it leaves a second difference.
UNREAD = "time: Restart chrony: would change - /etc/chrony/sources.d/mgmt-harness.sources"


def test_check_lists_exactly_the_drift_and_bootstrap_mends_it(site: Installed) -> None:
    for command in DRIFT:
        site.inside(command)
    ended = site.bootstrap("--check")
    assert ended.status == 0, ended.said
    assert sorted(lines_with(ended, "would change")) == sorted([*DRIFT.values(), UNREAD])
    assert re.search(r"^ +-\s+bridge-stp on$", ended.out, re.M), "the diff is shown"
    assert site.inside("apt-mark showhold") == "", "--check has changed something"
    mended = site.bootstrap()
    assert mended.status == 0, mended.said
    done = {line.partition(": changed")[0] for line in lines_with(mended, ": changed")}
    assert {line.partition(": would")[0] for line in DRIFT.values()} <= done


def test_the_roles_of_the_inventory_run_after_ours(site: Installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of a collection that is installed here; without it nothing is changed (test_refused)."""
    role = site.folder / "collections/ansible_collections/deevnet/builder/roles/probe/tasks"
    role.mkdir(parents=True)
    (role / "main.yml").write_text(
        "- name: Leave a trace\n  ansible.builtin.copy: {content: hi, dest: /etc/probe, mode: '0644'}\n"
    )
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(site.folder / "collections"))
    declared = site.declared.read_text()
    site.declare("  packages:\n", "  roles_after: [deevnet.builder.probe]\n  packages:\n")
    try:
        ended = site.bootstrap()
    finally:
        site.declared.write_text(declared)
    assert ended.status == 0, ended.said
    assert lines_with(ended, "changed - ") == []
    assert lines_with(ended, ": changed") == ["probe: Leave a trace: changed"]
    assert ended.out.index("] backup") < ended.out.index("Leave a trace")
    assert site.inside("cat /etc/probe && rm /etc/probe") == "hi"


def test_what_it_leaves_is_all_that_provision_and_verify_need(site: Installed) -> None:
    for task, arguments in (("preflight", ()), ("provision", ("--yes",)), ("verify", ())):
        ended = site.invoke(task, *arguments)
        assert ended.status == 0, ended.said


def test_an_upgrade_leaves_the_version(site: Installed) -> None:
    site.inside(
        "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y upgrade && apt-get -q -y dist-upgrade"
    )
    assert site.version() == "8.4.1"


def test_a_newer_version_is_taken_back(site: Installed) -> None:
    site.inside("apt-mark unhold pve-manager && rm /etc/apt/preferences.d/mgmt-harness && apt-get -q -y upgrade")
    assert site.version() == "8.4.5"
    ended = site.bootstrap()
    assert ended.status == 0, ended.said
    assert site.version() == "8.4.1"


WRITES = [
    ("POST", "/pools", {"poolid": "other"}),
    ("POST", "/access/users", {"userid": "x@pve"}),
    ("PUT", "/storage/local", {"content": "iso"}),
    ("POST", "/nodes/hv01/qemu", {"vmid": "901"}),
    ("POST", "/nodes/hv01/qemu/9000/clone", {"newid": "901"}),
    ("DELETE", "/nodes/hv01/qemu/9000", {}),
    ("DELETE", "/cluster/backup/nightly", {}),
]


@pytest.mark.parametrize(("method", "path", "form"), WRITES, ids=[f"{method} {path}" for method, path, _ in WRITES])
def test_the_verify_token_reads_and_never_writes(site: Installed, method: str, path: str, form: dict[str, str]) -> None:
    assert call("verify", "GET", "/nodes/hv01/qemu").json()["data"]
    assert call("verify", method, path, **form).status_code == 403


def test_the_provisioning_token_stays_in_its_pool(site: Installed) -> None:
    site.inside("pvesh create /nodes/hv01/qemu --vmid 900 --name stranger")
    try:
        for method, path, form in (
            ("GET", "/nodes/hv01/qemu/900/config", {}),
            ("PUT", "/nodes/hv01/qemu/900/config", {"name": "taken"}),
            ("POST", "/nodes/hv01/qemu/900/status/start", {}),
            ("DELETE", "/nodes/hv01/qemu/900", {}),
        ):
            assert call("provision", method, path, **form).status_code == 403, (method, path)
        assert call("provision", "GET", "/nodes/hv01/qemu/9000/config").ok
    finally:
        site.inside("pvesh delete /nodes/hv01/qemu/900")


def test_rotation_ends_the_old_secrets(site: Installed) -> None:
    old = {purpose: (SECRETS / f"{purpose}.token").read_text() for purpose in TOKENS}
    ended = site.bootstrap("--rotate-tokens")
    assert ended.status == 0, ended.said
    new = {purpose: (SECRETS / f"{purpose}.token").read_text() for purpose in TOKENS}
    assert all(old[purpose] != new[purpose] and new[purpose].strip() not in ended.said for purpose in TOKENS)
    assert all(call(purpose, "GET", "/access/permissions").json()["data"] for purpose in TOKENS)
    (SECRETS / "verify.token").write_text(old["verify"])
    refused = site.bootstrap()
    (SECRETS / "verify.token").write_text(new["verify"])
    assert refused.status == 2
    assert "PVE does not take the secret in the file" in refused.said
    assert "./invoke bootstrap --rotate-tokens" in refused.said


def test_a_secret_that_is_lost_here_is_not_made_anew_in_silence(site: Installed) -> None:
    aside = (SECRETS / "verify.token").rename(SECRETS / "aside")
    try:
        refused = site.bootstrap()
    finally:
        aside.rename(SECRETS / "verify.token")
    assert refused.status == 2
    assert "its token verify@pve!harness exists" in refused.said
    assert "nothing was changed" in refused.said


def test_a_network_that_cuts_us_off_is_undone(site: Installed) -> None:
    declared, before = site.declared.read_text(), site.inside("cat /etc/network/interfaces")
    site.inside("ip link add other0 type veth peer name other1")
    site.declare("port: eno1", "port: other0")
    try:
        ended = site.bootstrap()
    finally:
        site.declared.write_text(declared)
        site.inside("ip link delete other0")
    assert ended.status == 2
    assert "the declared network did not hold" in ended.said
    assert "the host went back to the old one" in ended.said
    assert site.inside("cat /etc/network/interfaces") == before
    assert "nothing changed" in site.bootstrap().out
