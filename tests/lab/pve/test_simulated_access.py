"""Logins, tokens and privileges are refused as PVE refuses them: in its order, in its words, in its time."""

from __future__ import annotations

import time

import pytest

from harness.wait import wait_until
from tests.lab.pve.served import NODE, Node


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({}, "No ticket"),
        ({"Cookie": "PVEAuthCookie=PVE:root@pam:00000000::AAAA"}, "permission denied - invalid PVE ticket"),
        ({"Authorization": "PVEAPIToken=audit@pve!ro=00000000-0000-0000-0000-000000000000"}, "invalid token value!"),
        ({"Authorization": "PVEAPIToken=audit@pve!no=x"}, "no such token 'no' for user 'audit@pve'"),
        ({"Authorization": "PVEAPIToken=nobody@pve!no=x"}, "no such user ('nobody@pve')"),
    ],
)
def test_refuses_a_bad_credential_without_a_body_and_not_at_once(
    node: Node, header: dict[str, str], reason: str
) -> None:
    started = time.monotonic()
    reply = node.ask("GET", "/version", user=None, headers=header)
    assert (reply.status, reply.reason, reply.text) == (401, reason, "")
    assert time.monotonic() - started >= 3 * node.pace


def test_a_failed_login_says_the_same_whatever_was_wrong(node: Node) -> None:
    for user in ("root@pam", "nobody@pve", "root@nowhere"):
        reply = node.login(user, "wrong")
        assert (reply.status, reply.body) == (401, {"data": None, "message": "authentication failure\n"})


def test_a_ticket_renews_itself_and_survives_a_restart(node: Node) -> None:
    ticket = node.login().data["ticket"]
    assert node.ask("POST", "/access/ticket", {"username": "root@pam", "password": ticket}, user=None).status == 200
    node.stop()
    node.start()
    assert node.ask("GET", "/version").status == 200


def test_a_write_with_a_ticket_needs_the_csrf_token_and_one_with_a_token_does_not(node: Node) -> None:
    bare = {"Cookie": node.credentials["root@pam"]["Cookie"]}
    refused = node.ask("POST", "/pools", {"poolid": "p1"}, user=None, headers=bare)
    assert (refused.status, refused.reason) == (401, "Permission denied - invalid csrf token")
    assert node.ask("GET", "/pools", user=None, headers=bare).status == 200
    assert node.ask("POST", "/pools", {"poolid": "p1"}, user="maker").status == 403


def test_a_separated_token_has_what_both_it_and_its_user_have(node: Node) -> None:
    node.ask("POST", "/access/users", {"userid": "u@pve"})
    made = node.ask("POST", "/access/users/u@pve/token/t1").data
    node.use_token("t1", made["full-tokenid"], made["value"])
    node.ask("PUT", "/access/acl", {"path": "/", "roles": "Administrator", "tokens": "u@pve!t1"})
    assert node.read("/access/permissions", user="t1") == {}
    node.ask("PUT", "/access/acl", {"path": "/nodes", "roles": "PVEAuditor", "users": "u@pve"})
    assert set(node.read("/access/permissions", user="t1")) == {"/nodes"}
    assert node.ask("GET", f"{NODE}/status", user="t1").status == 200


def test_expired_and_disabled_identities_are_told_apart(node: Node) -> None:
    node.ask("PUT", "/access/users/audit@pve/token/ro", {"expire": int(time.time()) - 1})
    assert node.ask("GET", "/version", user="audit").reason == "token 'ro' access expired"
    node.ask("PUT", "/access/users/maker@pve", {"enable": 0})
    assert node.ask("GET", "/version", user="maker").reason == "user 'maker@pve' is disabled"


def test_privilege_comes_before_parameters_and_parameters_before_existence(node: Node) -> None:
    path = f"{NODE}/qemu/999/config"
    assert node.ask("PUT", path, {"bogus": 1}, user="audit").reason.startswith("Permission check failed (/vms/999, VM.")
    assert node.ask("PUT", path, {"bogus": 1}).status == 400
    missing = node.ask("PUT", path, {"name": "x"})
    assert (missing.status, missing.reason) == (
        500,
        "Configuration file 'nodes/hv01/qemu-server/999.conf' does not exist",
    )


def test_lists_show_what_the_caller_may_see_instead_of_refusing(node: Node) -> None:
    assert [item["vmid"] for item in node.read(f"{NODE}/qemu", user="maker")] == [9000]
    assert {item["vmid"] for item in node.read(f"{NODE}/qemu", user="audit")} == {200, 9000}
    assert [item["storage"] for item in node.read("/storage", user="maker")] == ["local-lvm"]
    assert node.read("/access/users", user="maker") == []
    outside = node.ask("GET", f"{NODE}/qemu/200/config", user="maker")
    assert (outside.status, outside.reason) == (403, "Permission check failed (/vms/200, VM.Audit)")


def test_a_clone_needs_every_right_it_uses(node: Node) -> None:
    path, wanted = f"{NODE}/qemu/9000/clone", {"newid": 130, "pool": "mgmt"}
    assert node.ask("POST", path, {"newid": 130}, user="maker").reason == "Permission check failed"
    node.ask(
        "PUT", "/access/acl", {"path": "/sdn/zones/localnetwork", "roles": "Net", "users": "maker@pve", "delete": 1}
    )
    reason = "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)"
    assert node.ask("POST", path, wanted, user="maker").reason == reason
    node.ask("PUT", "/access/acl", {"path": "/storage/local-lvm", "roles": "Store", "users": "maker@pve", "delete": 1})
    reason = "Permission check failed (/storage/local-lvm, Datastore.AllocateSpace)"
    assert node.ask("POST", path, wanted, user="maker").reason == reason


def test_start_order_needs_a_right_over_the_datacenter(node: Node) -> None:
    config = f"{NODE}/qemu/9000/config"
    assert node.ask("PUT", config, {"onboot": 1, "protection": 1}, user="maker").status == 200
    assert (
        node.ask("PUT", config, {"startup": "order=1"}, user="maker").reason
        == "Permission check failed (/, Sys.Modify)"
    )
    node.ask("POST", "/access/roles", {"roleid": "Startup", "privs": "Sys.Modify"})
    both = {"users": "maker@pve", "tokens": "maker@pve!ci"}
    node.ask("PUT", "/access/acl", {"path": "/", "roles": "Startup", "propagate": 0, **both})
    assert node.ask("PUT", config, {"startup": "order=1"}, user="maker").status == 200
    assert node.ask("GET", f"{NODE}/status", user="maker").status == 403


def test_a_token_of_root_is_not_root(node: Node) -> None:
    made = node.ask("POST", "/access/users/root@pam/token/t1", {"privsep": 0}).data
    node.use_token("root token", made["full-tokenid"], made["value"])
    config = f"{NODE}/qemu/200/config"
    reply = node.ask("PUT", config, {"args": "-cpu host"}, user="root token")
    assert (reply.status, reply.reason) == (500, "only root can set 'args' config")
    reply = node.ask("PUT", config, {"name": "x", "skiplock": 1}, user="root token")
    assert reply.body["errors"] == {"skiplock": "Only root may use this option."}


def test_others_see_only_their_own_tasks(node: Node) -> None:
    upid = node.ask("POST", f"{NODE}/qemu/200/status/start").data
    node.ended(upid)
    assert node.read(f"{NODE}/tasks", user="maker") == []
    assert node.ask("GET", f"{NODE}/tasks/{upid}/status", user="maker").status == 403
    assert node.read(f"{NODE}/tasks/{upid}/status", user="audit")["exitstatus"] == "OK"


def test_resources_are_as_old_as_the_last_broadcast(node: Node) -> None:
    node.control(op="broadcast", regular=False)
    node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 130, "name": "fresh"})

    def seen() -> dict[str, object]:
        return next(item for item in node.read("/cluster/resources", {"type": "vm"}) if item["vmid"] == 130)

    assert seen()["status"] == "unknown"
    assert "name" not in seen()
    node.control(op="broadcast", regular=True)
    assert seen()["name"] == "fresh"
    waited = wait_until(lambda: (node.run("DELETE", f"{NODE}/qemu/130"), ""), deadline_s=5)
    assert waited.value == "OK"
