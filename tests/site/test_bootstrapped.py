"""What bootstrap promised and somebody undid turns its clause red, and no other that does not promise the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.site.driver import Site
from tests.site.test_path import failed

pytestmark = pytest.mark.lab

CLAUSE = "bootstrap.post-config"
# Everything that is promised of the hypervisor itself: there are no VMs here.
ABOUT = [f"--clause={one}" for one in ("bootstrap", "platform", "standalone", "storage", "identity.no-strangers")]
SOURCES, SSHD = "/etc/apt/sources.list.d", "/etc/ssh/sshd_config.d"
CHRONY = "/etc/chrony/sources.d/mgmt-harness.sources"


@dataclass(frozen=True)
class Undone:
    """Commands on the hypervisor; `says` is what the report then says, `also` who else promised it."""

    by: str
    mend: str
    says: str
    also: frozenset[str] = frozenset()


def dropped_in(setting: str, says: str) -> Undone:
    """sshd keeps the first value it reads: a file that sorts before ours wins."""
    return Undone(f"echo '{setting}' >{SSHD}/00-a.conf", f"rm {SSHD}/00-a.conf", says)


def pvesh(change: str, mend: str, says: str) -> Undone:
    return Undone(f"pvesh {change}", f"pvesh {mend}", says)


UNDONE = {
    "the enterprise repository is on again": Undone(
        f"echo 'deb http://198.18.99.1/debian/pve bookworm pve-enterprise' >{SOURCES}/pve-enterprise.list",
        f"rm {SOURCES}/pve-enterprise.list",
        "deb http://198.18.99.1/debian/pve bookworm pve-enterprise",
    ),
    "a repository of the newer form": Undone(
        f"printf 'Types: deb\\nURIs: http://x.lab/debian\\nSuites: sid\\nComponents: main\\n' >{SOURCES}/x.sources",
        f"rm {SOURCES}/x.sources",
        "deb http://x.lab/debian sid main",
    ),
    "the declared repository is off": Undone(
        f"sed -i 's/^deb/# deb/' {SOURCES}/mgmt-harness.list",
        f"sed -i 's/^# deb/deb/' {SOURCES}/mgmt-harness.list",
        "enabled package repositories: expected deb http://198.18.99.1/packages ./, seen none",
    ),
    "the hold is gone": Undone(
        "apt-mark unhold pve-manager",
        "apt-mark hold pve-manager",
        "packages on hold",
        frozenset({"platform.pve-version"}),
    ),
    "the pin is gone": Undone(
        "mv /etc/apt/preferences.d/mgmt-harness /root/pin",
        "mv /root/pin /etc/apt/preferences.d/mgmt-harness",
        "pinned versions of pve-manager: expected 8.4.1, seen none",
    ),
    "passwords are taken": dropped_in("PasswordAuthentication yes", "passwordauthentication: yes"),
    "questions are asked": dropped_in("KbdInteractiveAuthentication yes", "kbdinteractiveauthentication: yes"),
    "keys are not taken": dropped_in("PubkeyAuthentication no", "pubkeyauthentication: no"),
    "root logs in by any means": dropped_in(
        "PermitRootLogin yes", "PermitRootLogin: expected prohibit-password, seen yes"
    ),
    "passwords from our own network": dropped_in(
        "Match Address 198.18.99.0/24\n  PasswordAuthentication yes", "passwordauthentication: yes"
    ),
    "another time server": Undone(
        f"cp {CHRONY} /root/chrony && echo 'server 198.18.99.254 iburst' >>{CHRONY} && chronyc reload sources",
        f"cp /root/chrony {CHRONY} && chronyc reload sources",
        "time servers: expected 198.18.99.1, seen 198.18.99.1, 198.18.99.254",
    ),
    "no time server": Undone(
        f"mv {CHRONY} /root/chrony && systemctl restart chrony",
        f"mv /root/chrony {CHRONY} && systemctl restart chrony",
        "time servers: expected 198.18.99.1, seen none",
    ),
    "a time server that is not followed": Undone(
        f"cp {CHRONY} /root/chrony && sed -i 's/iburst/offline/' {CHRONY} && systemctl restart chrony",
        f"cp /root/chrony {CHRONY} && systemctl restart chrony",
        "time server the clock follows: expected one, seen none",
    ),
    "nobody keeps the clock": Undone(
        "systemctl stop chrony", "systemctl start chrony", "time servers: expected 198.18.99.1, seen none"
    ),
    "a kind of content is gone": pvesh(
        "set /storage/local --content iso,vztmpl,backup",
        "set /storage/local --content iso,vztmpl,backup,import,snippets",
        "local: backup, iso, vztmpl",
    ),
    "a role may do more": pvesh(
        "set /access/roles/MgmtAudit --privs VM.PowerMgmt --append 1",
        "set /access/roles/MgmtAudit --privs Sys.Audit,VM.Audit,Datastore.Audit,Pool.Audit,SDN.Audit",
        "role MgmtAudit: -VM.PowerMgmt",
    ),
    "a role may do less": pvesh(
        "set /access/roles/MgmtStore --privs Datastore.Audit,Datastore.AllocateTemplate",
        "set /access/roles/MgmtStore --privs Datastore.Audit,Datastore.AllocateTemplate,Datastore.AllocateSpace",
        "role MgmtStore: +Datastore.AllocateSpace",
    ),
    "a token has all its user has": pvesh(
        "set /access/users/provision@pve/token/harness --privsep 0",
        "set /access/users/provision@pve/token/harness --privsep 1",
        "token provision@pve!harness: privileges separated",
    ),
    "a second token": pvesh(
        "create /access/users/verify@pve/token/other --output-format json",
        "delete /access/users/verify@pve/token/other",
        "tokens that are not declared: expected none, seen verify@pve!other",
    ),
    "a user inherits from a group": Undone(
        "pvesh create /access/groups --groupid admins && pvesh set /access/users/provision@pve --groups admins",
        "pvesh set /access/users/provision@pve --groups '' && pvesh delete /access/groups/admins",
        "user provision@pve: out of the groups admins",
    ),
    "a grant too many": pvesh(
        "set /access/acl --path /vms --roles PVEVMAdmin --users provision@pve",
        "set /access/acl --path /vms --roles PVEVMAdmin --users provision@pve --delete 1",
        "provision@pve no longer PVEVMAdmin on /vms",
    ),
    "the template left the pool": pvesh(
        "set /pools/mgmt --vms 9000 --delete 1", "set /pools/mgmt --vms 9000", "template debian-lab-12 (9000)"
    ),
    "the backup job is off": pvesh(
        "set /cluster/backup/nightly --enabled 0",
        "set /cluster/backup/nightly --enabled 1",
        "backup job nightly: enabled 0 -> 1",
    ),
    "the backup job keeps less": pvesh(
        "set /cluster/backup/nightly --prune-backups keep-last=1",
        "set /cluster/backup/nightly --prune-backups keep-last=3,keep-daily=7",
        "prune-backups keep-last=1 -> keep-last=3,keep-daily=7",
    ),
    "VMs in VMs, though nobody declared them": Undone(
        "echo 'options kvm-intel nested=1' >/etc/modprobe.d/x.conf",
        "rm /etc/modprobe.d/x.conf",
        "VMs in VMs asked for in /etc/modprobe.d: expected no, seen yes",
    ),
}


def sentences(result: dict[str, Any]) -> list[str]:
    (clause,) = (one for one in result["clauses"] if one["id"] == CLAUSE)
    return [check["message"] for check in clause["checks"] if check["verdict"] == "fail"]


# Several at once, as each look at the host takes its time; no two of a batch touch the same thing.
BATCHES = 5


@pytest.mark.parametrize("batch", range(BATCHES))
def test_what_was_undone_turns_its_clause_red_and_no_other(bare: Site, batch: int) -> None:
    undone = list(UNDONE.values())[batch::BATCHES]
    for one in undone:
        bare.run("hv01", one.by)
    try:
        status, result = bare.verify(*ABOUT)
    finally:
        for one in undone:
            bare.run("hv01", one.mend)
    assert (failed(result), status) == ({CLAUSE}.union(*(one.also for one in undone)), 1)
    said = sentences(result)
    assert [one.says for one in undone if not any(one.says in sentence for sentence in said)] == [], said


def test_all_of_it_was_mended(bare: Site) -> None:
    status, result = bare.verify(*ABOUT)
    assert (failed(result), status) == (set(), 0)
    assert "nothing would change" in bare.invoke("bootstrap", "--check").said, "verify and bootstrap disagree"
