"""Between what PVE has and what it should have lie exactly the commands that are missing."""

from __future__ import annotations

from typing import Any

from harness.bootstrap import pve_changes
from harness.bootstrap.pve_changes import Change

VERIFY = {"purpose": "verify", "user": "verify@pve", "token": "harness", "comment": "reads only"}
GRANT = {"path": "/", "role": "MgmtAudit", "user": "verify@pve", "token": "harness", "propagate": True}
JOB = {
    "storage": "local",
    "pool": "mgmt",
    "schedule": "02:00",
    "prune-backups": "keep-last=3,keep-daily=7",
    "enabled": 1,
}


def commands(changes: list[Change]) -> list[str]:
    return [" ".join(change["argv"]) for change in changes]


def user(**more: Any) -> dict[str, Any]:
    return {"userid": "verify@pve", "enable": 1, "expire": 0, "groups": "", "tokens": [], **more}


def entry(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"path": "/", "type": kind, "ugid": name, "roleid": "MgmtAudit", "propagate": 1, **more}


GRANTED = [entry("user", "verify@pve"), entry("token", "verify@pve!harness")]


def test_roles_are_made_and_corrected_and_left_alone() -> None:
    found = [{"roleid": "A", "privs": "Sys.Audit,VM.Audit"}, {"roleid": "B", "privs": "VM.Audit,Sys.Modify"}]
    changes = pve_changes.role_changes(found, {"A": "VM.Audit Sys.Audit", "B": "VM.Audit Pool.Audit", "C": "SDN.Use"})
    assert commands(changes) == [
        "pvesh set /access/roles/B --privs Pool.Audit,VM.Audit",
        "pvesh create /access/roles --roleid C --privs SDN.Use",
    ]
    assert changes[0]["text"] == "role B: +Pool.Audit -Sys.Modify"


def test_a_user_is_made() -> None:
    made = pve_changes.user_changes([], [VERIFY])
    assert [change["argv"] for change in made] == [
        ["pvesh", "create", "/access/users", "--userid", "verify@pve", "--comment", "reads only"]
    ]


def test_a_user_is_enabled_and_taken_out_of_groups() -> None:
    found = [user(enable=0, groups="admins")]
    assert commands(pve_changes.user_changes(found, [VERIFY])) == [
        "pvesh set /access/users/verify@pve --enable 1 --expire 0",
        "pvesh set /access/users/verify@pve --groups ",
    ]
    assert pve_changes.user_changes([user()], [VERIFY]) == []


def test_only_a_missing_token_is_made() -> None:
    made = pve_changes.missing_tokens([user()], [VERIFY], [])
    assert commands([Change(text=one["text"], argv=one["argv"]) for one in made]) == [
        "pvesh create /access/users/verify@pve/token/harness --privsep 1 --output-format json"
    ]
    there = [user(tokens=[{"tokenid": "harness", "privsep": 1, "expire": 0}])]
    assert pve_changes.missing_tokens(there, [VERIFY], []) == []
    (anew,) = pve_changes.missing_tokens(there, [VERIFY], [VERIFY])
    assert anew["text"] == "token verify@pve!harness"
    assert pve_changes.token_changes(there, [VERIFY], []) == []
    assert commands(pve_changes.token_removals(there, [VERIFY])) == [
        "pvesh delete /access/users/verify@pve/token/harness"
    ]


def test_a_token_with_its_users_rights_is_separated() -> None:
    found = [user(tokens=[{"tokenid": "harness", "privsep": 0, "expire": 0}])]
    assert commands(pve_changes.token_changes(found, [VERIFY], [])) == [
        "pvesh set /access/users/verify@pve/token/harness --privsep 1 --expire 0"
    ]


def test_user_and_token_get_the_grant() -> None:
    assert commands(pve_changes.acl_changes([], [GRANT], [VERIFY])) == [
        "pvesh set /access/acl --path / --roles MgmtAudit --users verify@pve --propagate 1",
        "pvesh set /access/acl --path / --roles MgmtAudit --tokens verify@pve!harness --propagate 1",
    ]
    assert pve_changes.acl_changes(GRANTED, [GRANT], [VERIFY]) == []


def test_what_our_users_hold_beside_it_is_taken_away_first() -> None:
    more = [*GRANTED[:1], entry("token", "verify@pve!harness", path="/vms", roleid="PVEVMAdmin")]
    assert commands(pve_changes.acl_changes(more, [GRANT], [VERIFY])) == [
        "pvesh set /access/acl --path /vms --roles PVEVMAdmin --tokens verify@pve!harness --propagate 1 --delete 1",
        "pvesh set /access/acl --path / --roles MgmtAudit --tokens verify@pve!harness --propagate 1",
    ]


def test_a_grant_that_reaches_further_than_declared_is_corrected() -> None:
    narrow = {**GRANT, "propagate": False}
    assert commands(pve_changes.acl_changes(GRANTED, [narrow], [VERIFY])) == [
        "pvesh set /access/acl --path / --roles MgmtAudit --users verify@pve --propagate 0",
        "pvesh set /access/acl --path / --roles MgmtAudit --tokens verify@pve!harness --propagate 0",
    ]


def test_other_peoples_grants_are_not_touched() -> None:
    others = [
        entry("user", "admin@pam", roleid="Administrator"),
        entry("group", "ops", roleid="Administrator"),
        *GRANTED,
    ]
    assert pve_changes.acl_changes(others, [GRANT], [VERIFY]) == []


def test_templates_of_the_inventory_join_the_pool() -> None:
    resources: list[dict[str, Any]] = [
        {"vmid": 9000, "name": "debian-lab-12", "template": 1},
        {"vmid": 9001, "name": "debian-lab-12", "template": 1},
        {"vmid": 130, "name": "metrics-vm01", "template": 0},
        {"vmid": 9002, "name": "other", "template": 1},
    ]
    declared = [{"name": "debian-lab-12", "vmid": 9000}]
    assert commands(pve_changes.template_changes(resources, "mgmt", declared)) == ["pvesh set /pools/mgmt --vms 9000"]
    resources[0]["pool"] = "mgmt"
    assert pve_changes.template_changes(resources, "mgmt", declared) == []


def test_the_pool_is_made_once() -> None:
    assert commands(pve_changes.pool_changes([], "mgmt"))[0].startswith("pvesh create /pools --poolid mgmt")
    assert pve_changes.pool_changes([{"poolid": "mgmt"}], "mgmt") == []


def test_storages_hold_exactly_the_declared_content() -> None:
    found: list[dict[str, Any]] = [
        {"storage": "local", "type": "dir", "content": "iso,vztmpl,backup", "disable": 1},
        {"storage": "local-lvm", "type": "lvmthin", "content": "rootdir,images"},
        {"storage": "other", "type": "dir", "content": "images"},
    ]
    wanted = {"local": ["backup", "import", "iso", "snippets", "vztmpl"], "local-lvm": ["images", "rootdir"]}
    assert commands(pve_changes.storage_changes(found, wanted)) == [
        "pvesh set /storage/local --content backup,import,iso,snippets,vztmpl",
        "pvesh set /storage/local --disable 0",
    ]


def test_the_backup_job_is_made_with_its_name() -> None:
    assert commands(pve_changes.job_changes([], "nightly", JOB)) == [
        "pvesh create /cluster/backup --id nightly --storage local --pool mgmt --schedule 02:00"
        " --prune-backups keep-last=3,keep-daily=7 --enabled 1"
    ]


def test_pves_own_form_of_the_job_is_no_difference() -> None:
    """A real 8.4.1 gives the retention back as a mapping of texts."""
    kept = {"keep-daily": "7", "keep-last": "3"}
    assert pve_changes.job_changes([{**JOB, "id": "nightly", "prune-backups": kept}], "nightly", JOB) == []


def test_a_job_that_differs_is_corrected_and_covers_the_pool_only() -> None:
    found = [{**JOB, "id": "nightly", "enabled": 0, "all": 1, "prune-backups": {"keep-last": "1"}}]
    changes = pve_changes.job_changes(found, "nightly", JOB)
    assert commands(changes) == [
        "pvesh set /cluster/backup/nightly --prune-backups keep-last=3,keep-daily=7 --enabled 1 --delete all"
    ]
    assert (
        changes[0]["text"]
        == "backup job nightly: prune-backups keep-last=1 -> keep-last=3,keep-daily=7, enabled 0 -> 1"
    )
