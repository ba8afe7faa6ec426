"""A privilege that is taken away is given back by the very command that verify, preflight and provision print."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from tests.site.driver import Site

pytestmark = pytest.mark.lab

# What verify looks at here: there are no VMs, and what is promised of them is another matter.
CLAUSES = ("standalone", "storage", "bootstrap", "identity.no-strangers")
LOOK = ("verify", *(f"--clause={clause}" for clause in CLAUSES))


def commands_in(said: str) -> str:
    """What stands between backticks and is pveum's, exactly as it stands there."""
    (found,) = {match[1] for match in re.finditer(r"`(pveum [^`]+)`", said)}
    return found


@dataclass(frozen=True)
class Taken:
    """A privilege that goes, by a command on the node; `lacks` is how that is said, `back` how the advice begins."""

    by: str
    lacks: str
    back: str


def without(role: str, privilege: str) -> str:
    """Take one privilege out of a role."""
    listed = f"pvesh get /access/roles/{role} --output-format json | grep -o '[A-Z][A-Za-z]*[.][A-Za-z.]*'"
    return f'pvesh set /access/roles/{role} --privs "$({listed} | grep -vx {privilege} | paste -sd,)"'


def revoke(path: str, role: str, *, user: str, token: bool) -> str:
    whom = f"--tokens '{user}!harness'" if token else f"--users {user}"
    return f"pvesh set /access/acl --path {path} --roles {role} {whom} --delete 1"


OF_VERIFY = {
    "a privilege out of the role": Taken(
        without("MgmtAudit", "VM.Audit"),
        "verify@pve!harness lacks VM.Audit on /vms",
        "pveum role modify MgmtAudit --privs VM.Audit --append 1",
    ),
    "the storages' privilege": Taken(
        without("MgmtAudit", "Datastore.Audit"),
        "verify@pve!harness lacks Datastore.Audit on /storage",
        "pveum role modify MgmtAudit --privs Datastore.Audit --append 1",
    ),
    "what lets it see the access list": Taken(
        without("MgmtAudit", "Sys.Audit"),
        "verify@pve!harness lacks Sys.Audit on /",
        "pveum role modify MgmtAudit --privs Sys.Audit --append 1",
    ),
    "the user's grant": Taken(
        revoke("/", "MgmtAudit", user="verify@pve", token=False),
        "verify@pve!harness lacks Sys.Audit on /",
        "pveum acl modify / --roles MgmtAudit --users verify@pve --tokens 'verify@pve!harness'",
    ),
}
OF_PROVISION = {
    "a privilege out of the role": Taken(
        without("MgmtProvision", "VM.Clone"),
        "the token lacks VM.Clone on /vms/9000",
        "pveum role modify MgmtProvision --privs VM.Clone --append 1",
    ),
    "the storage's role": Taken(
        without("MgmtStore", "Datastore.AllocateSpace"),
        "the token lacks Datastore.AllocateSpace on /storage/local-lvm",
        "pveum role modify MgmtStore --privs Datastore.AllocateSpace --append 1",
    ),
    "the token's grant on the pool": Taken(
        revoke("/pool/mgmt", "MgmtProvision", user="provision@pve", token=True),
        "VM.PowerMgmt on /pool/mgmt",
        "pveum acl modify /pool/mgmt --roles MgmtProvision --users provision@pve --tokens 'provision@pve!harness'",
    ),
    "the right to set the start order": Taken(
        revoke("/", "MgmtStartup", user="provision@pve", token=False),
        "the token lacks Sys.Modify on /",
        "pveum acl modify / --roles MgmtStartup --users provision@pve --tokens 'provision@pve!harness' --propagate 0",
    ),
    "the template out of the pool": Taken(
        "pvesh set /pools/mgmt --vms 9000 --delete 1",
        "the token lacks VM.Clone on /vms/9000",
        "pveum pool modify mgmt --vms 9000",
    ),
}


@pytest.mark.parametrize("taken", OF_VERIFY.values(), ids=OF_VERIFY)
def test_verify_names_the_command_that_mends_it(bare: Site, taken: Taken) -> None:
    bare.run("hv01", taken.by)
    blind = bare.invoke(*LOOK)
    assert blind.status == 2
    assert taken.lacks in blind.said
    assert commands_in(blind.said).startswith(taken.back)
    bare.run("hv01", commands_in(blind.said))
    seeing = bare.invoke(*LOOK)
    assert seeing.status == 0, seeing.said


@pytest.mark.parametrize("taken", list(OF_PROVISION.values())[:-1], ids=list(OF_PROVISION)[:-1])
def test_preflight_names_the_command_that_mends_it(bare: Site, taken: Taken) -> None:
    bare.run("hv01", taken.by)
    failed = bare.invoke("preflight")
    assert failed.status == 2
    assert commands_in(failed.said) == taken.back
    bare.run("hv01", commands_in(failed.said))
    ready = bare.invoke("preflight")
    assert ready.status == 0, ready.said


GUESTS = ("metrics-vm01", "logs-vm01", "dashboards-vm01", "alerting-vm01", "ansible-vm01")


@pytest.mark.parametrize(("taken", "guest"), list(zip(OF_PROVISION.values(), GUESTS, strict=True)), ids=[*OF_PROVISION])
def test_provision_names_the_command_that_mends_it(bare: Site, taken: Taken, guest: str) -> None:
    bare.run("hv01", taken.by)
    refused = bare.invoke("provision", f"--guest={guest}")
    assert refused.status == 2
    assert taken.lacks in refused.said
    assert "nothing was changed" in refused.said
    assert commands_in(refused.said) == taken.back
    bare.run("hv01", commands_in(refused.said))
    made = bare.invoke("provision", f"--guest={guest}")
    assert made.status == 0, made.said
