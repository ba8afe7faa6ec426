"""A missing privilege is named with the commands that mend it; given to the node, they do."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.contract import Contract
from harness.evidence import Secret
from harness.preflight.model import Finding
from harness.preflight.privileges import judge_excess, judge_needs, needs_of
from harness.pve.client import connect
from harness.pve.grants import parse_grants
from harness.pve.read import read_permissions
from tests import sites
from tests.preflight.values import MANY, only
from tests.pve.served import make_certificate
from tests.simulators import SECRETS, TOKENS, Simulated, simulating


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def pve(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Simulated]:
    with simulating(tmp_path, *certificate) as running:
        yield running


def site() -> Contract:
    return replace(sites.contract(*MANY))


def findings(pve: Simulated, purpose: str) -> list[Finding]:
    """As a preflight would, with new clients: a client keeps what it was told."""
    reader = pve.reader()
    grants = parse_grants(reader.get("/access/acl"), reader.get("/access/roles"))
    client = connect(pve.api(), purpose=purpose, secret=Secret(SECRETS[purpose]), read_only=True)  # type: ignore[call-overload]
    permissions = read_permissions(client)
    needs = needs_of(site(), purpose)
    return [
        *judge_needs(TOKENS[purpose], needs, permissions, grants),
        *judge_excess(site(), purpose, TOKENS[purpose], permissions),
    ]


def run_pveum(pve: Simulated, commands: str) -> None:
    """What pveum sends to the API for these commands."""
    root = pve.root()
    for command in commands.split("; "):
        words = shlex.split(command)
        subject, verb, target = words[1:4]
        options = dict(zip((word.removeprefix("--") for word in words[4::2]), words[5::2], strict=True))
        if (subject, verb) == ("role", "modify"):
            root.put(f"/access/roles/{target}", options)
        elif (subject, verb) == ("role", "add"):
            root.post("/access/roles", {"roleid": target, **options})
        else:
            assert (subject, verb) == ("acl", "modify")
            root.put("/access/acl", {"path": target, **options})


def mend(pve: Simulated, found: Finding) -> None:
    (commands,) = re.findall(r"`(.+)`", found.do)
    run_pveum(pve, commands)


def test_the_documented_tokens_have_what_they_need_and_no_more(pve: Simulated) -> None:
    assert [*findings(pve, "verify"), *findings(pve, "provision")] == []


@pytest.mark.parametrize(
    ("purpose", "role", "privilege"),
    [
        ("verify", "MgmtAudit", "Datastore.Audit"),
        ("verify", "MgmtAudit", "SDN.Audit"),
        ("provision", "MgmtProvision", "VM.Clone"),
        ("provision", "MgmtStore", "Datastore.AllocateSpace"),
    ],
)
def test_a_privilege_taken_from_a_role_is_given_back_by_the_command(
    pve: Simulated, purpose: str, role: str, privilege: str
) -> None:
    root = pve.root()
    left = [one for one in root.get(f"/access/roles/{role}") if one != privilege]
    root.put(f"/access/roles/{role}", {"privs": " ".join(left)})
    found = only(findings(pve, purpose))
    assert found.said.startswith(f"{TOKENS[purpose]} lacks {privilege} on /")
    assert f"pveum role modify {role} --privs {privilege} --append 1" in found.do
    mend(pve, found)
    assert findings(pve, purpose) == []


@pytest.mark.parametrize(
    ("path", "role", "words"),
    [
        ("/pool/mgmt", "MgmtProvision", "pveum acl modify /pool/mgmt --roles MgmtProvision --users provision@pve"),
        ("/", "MgmtStartup", "--propagate 0"),
        ("/sdn/zones/localnetwork", "MgmtBridge", "acl modify /sdn/zones/localnetwork --roles MgmtBridge"),
    ],
)
def test_a_grant_taken_from_the_user_alone_is_given_back_by_the_command(
    pve: Simulated, path: str, role: str, words: str
) -> None:
    """With separated privileges the token has only what its user has, too."""
    pve.root().put("/access/acl", {"path": path, "roles": role, "users": "provision@pve", "delete": 1})
    found = only(findings(pve, "provision"))
    assert words in found.do
    mend(pve, found)
    assert findings(pve, "provision") == []


def test_a_role_that_is_gone_is_made_again(pve: Simulated) -> None:
    pve.root().delete("/access/roles/MgmtBridge")
    found = only(findings(pve, "provision"))
    assert "pveum role add MgmtBridge --privs SDN.Use; pveum acl modify" in found.do
    mend(pve, found)
    assert findings(pve, "provision") == []


def test_a_verify_token_that_can_write_is_named(pve: Simulated) -> None:
    pve.root().put("/access/roles/MgmtAudit", {"privs": "VM.PowerMgmt", "append": 1})
    found = only(findings(pve, "verify"))
    assert "must only read, and may also use VM.PowerMgmt" in found.said


def test_a_provision_token_that_reaches_every_vm_is_named(pve: Simulated) -> None:
    everywhere = {"path": "/vms", "roles": "MgmtProvision", "users": "provision@pve", "tokens": TOKENS["provision"]}
    pve.root().put("/access/acl", everywhere)
    assert "on every VM (/vms)" in only(findings(pve, "provision")).said


def test_without_sight_of_the_access_list_the_documented_role_is_named(pve: Simulated) -> None:
    permissions = read_permissions(pve.reader())
    needs = needs_of(site(), "provision")[:1]
    found = only(judge_needs(TOKENS["verify"], needs, permissions, None))
    assert "pveum acl modify /pool/mgmt --roles MgmtProvision" in found.do
