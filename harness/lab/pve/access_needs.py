"""The needs of calls about one user: a right over the user, over its realm, or being the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .failures import forbidden
from .rights import Need, Rights, check_user_exists
from .schema import split_list


def over_user(*privileges: str) -> Need:
    """One of the privileges over all groups or over one of the user's."""

    def need(rights: Rights, user: str, params: Mapping[str, Any]) -> None:
        check_user_exists(rights.state, params["userid"])
        if params["userid"] not in rights.visible_users(user, *privileges):
            raise forbidden()

    return need


def over_realm(rights: Rights, user: str, params: Mapping[str, Any]) -> None:
    realm = str(params.get("userid", "")).rpartition("@")[2]
    rights.check(user, f"/access/realm/{realm}", "Realm.AllocateUser")


def over_groups(rights: Rights, user: str, params: Mapping[str, Any]) -> None:
    groups = split_list(str(params.get("groups", "")))
    if rights.has(user, "/access/groups", "User.Modify"):
        return
    if not groups:
        raise forbidden("/access/groups, User.Modify")
    for group in groups:
        rights.check(user, f"/access/groups/{group}", "User.Modify")


def oneself(rights: Rights, user: str, params: Mapping[str, Any]) -> None:  # noqa: ARG001 - one shape for all needs
    if params.get("userid") != user:
        raise forbidden()
