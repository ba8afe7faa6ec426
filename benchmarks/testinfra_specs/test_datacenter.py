"""The hypervisor's API: who may do what, storages, and that it stands alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.testinfra_specs.promised import EXPECTED, NODE, Values

testinfra_hosts = [f"ssh://{EXPECTED['hypervisor']}"]
Api = Callable[[str], Any]
ACCOUNTS = pytest.mark.parametrize("account", EXPECTED["accounts"], ids=lambda one: one["user"])


@pytest.fixture(scope="module")
def users(api: Api) -> dict[str, Values]:
    return {one["userid"]: one for one in api("/access/users --full 1")}


@pytest.fixture(scope="module")
def storages(api: Api) -> dict[str, Values]:
    return {one["storage"]: one for one in api(f"{NODE}/storage")}


# clause bootstrap.post-config: roles_have_exactly_their_privileges, users_are_as_made
@pytest.mark.parametrize("role", EXPECTED["pve_roles"])
def test_role_has_exactly_its_privileges(api: Api, role: str) -> None:
    held = {one["roleid"]: sorted(one["privs"].split(",")) for one in api("/access/roles")}
    assert held[role] == EXPECTED["pve_roles"][role]


@ACCOUNTS
def test_user_is_as_made(users: dict[str, Values], account: Values) -> None:
    user = users[account["user"]]
    assert (int(user.get("enable", 1)), int(user.get("expire", 0)), user.get("groups", "")) == (1, 0, "")


# clause bootstrap.post-config: tokens_have_privileges_of_their_own, users_have_no_other_tokens
@ACCOUNTS
def test_token_has_privileges_of_its_own(users: dict[str, Values], account: Values) -> None:
    token = next(one for one in users[account["user"]]["tokens"] if one["tokenid"] == account["token"])
    assert (int(token.get("privsep", 1)), int(token.get("expire", 0))) == (1, 0)


@ACCOUNTS
def test_user_has_no_other_token(users: dict[str, Values], account: Values) -> None:
    assert [one["tokenid"] for one in users[account["user"]]["tokens"]] == [account["token"]]


# clause bootstrap.post-config: grants_are_exactly_the_declared, pool_holds_the_templates
def test_grants_are_exactly_the_declared(api: Api) -> None:
    held = [one for one in api("/access/acl") if one["ugid"] in EXPECTED["grantees"]]
    assert sorted(map(grant, held)) == sorted(map(grant, EXPECTED["grants"]))


def grant(entry: Values) -> tuple[str, str, str, str, int]:
    return entry["path"], entry["type"], entry["ugid"], entry["roleid"], int(entry["propagate"])


def test_pool_holds_the_templates(api: Api) -> None:
    assert EXPECTED["pool"] in [one["poolid"] for one in api("/pools")]
    templates = [one["vmid"] for one in EXPECTED["templates"]]
    pools = [one.get("pool") for one in api("/cluster/resources --type vm") if one["vmid"] in templates]
    assert pools == [EXPECTED["pool"]] * len(templates)


# clause bootstrap.post-config: storages_hold_what_is_declared
@pytest.mark.parametrize("name", EXPECTED["storages"])
def test_storage_holds_what_is_declared(storages: dict[str, Values], name: str) -> None:
    assert int(storages[name]["enabled"]) == 1
    assert sorted(storages[name]["content"].split(",")) == EXPECTED["storages"][name]


# clause standalone.no-cluster: api_knows_one_node_and_no_cluster
def test_is_in_no_cluster(api: Api) -> None:
    assert [(one["type"], one["name"]) for one in api("/cluster/status")] == [("node", EXPECTED["node"])]


# clause standalone.no-ha: has_no_ha_resources, has_no_ha_groups, has_no_fencing
@pytest.mark.parametrize("kind", ["resources", "groups"])
def test_has_no_high_availability(api: Api, kind: str) -> None:
    assert api(f"/cluster/ha/{kind}") == []


def test_has_no_fencing(api: Api) -> None:
    assert "fencing" not in api("/cluster/options")


# clause standalone.no-replication: has_no_replication_jobs
def test_replicates_nothing(api: Api) -> None:
    assert api("/cluster/replication") == []


# clause storage.local-only: enabled_storages_are_local
def test_enabled_storages_are_local(storages: dict[str, Values]) -> None:
    enabled = [one for one in storages.values() if int(one["enabled"])]
    assert [one for one in enabled if one["type"] not in EXPECTED["local_types"] or int(one.get("shared", 0))] == []


# clause separation.no-tenants: storages_need_no_tenant_hypervisor
def test_storages_need_no_tenant_hypervisor(api: Api) -> None:
    assert not {one.get("server") for one in api("/storage")} & set(EXPECTED["tenant_words"])
