"""Logins and users: who somebody is."""

from __future__ import annotations

from typing import Any

from .access_lists import PRIVILEGE_LIST
from .access_needs import oneself, over_groups, over_realm, over_user
from .access_tokens import forget_in_acl, forget_token, token_info
from .call import Call, Route
from .failures import UnauthorizedError, died
from .formats import group_id, user_id
from .rights import Rights, both, check_user_exists, either
from .schema import Param, boolean, integer, list_of, needed, split_list, text

_CAPABILITIES = {
    "access": ("/access", ("Group.Allocate", "User.Modify", "Permissions.Modify")),
    "dc": ("/", ("SDN.Allocate", "SDN.Audit", "SDN.Use", "Sys.Audit", "Sys.Modify")),
    "mapping": ("/mapping", ("Mapping.", "Permissions.Modify")),
    "nodes": ("/nodes", ("Sys.", "Permissions.Modify")),
    "sdn": ("/sdn", ("SDN.", "Permissions.Modify")),
    "storage": ("/storage", ("Datastore.", "Permissions.Modify")),
    "vms": ("/vms", ("VM.", "Permissions.Modify")),
}


def _login(call: Call) -> object:
    params = call.params
    userid = params["username"]
    if "realm" in params and "@" not in userid:
        userid = f"{userid}@{params['realm']}"
    call.sim.identity.login(userid, params["password"])
    answer: dict[str, Any] = {"username": userid, "cap": _capabilities(call.sim.rights, userid)}
    if "path" in params:
        if not call.sim.rights.has(userid, params["path"], *split_list(params["privs"])):
            raise UnauthorizedError("authentication failure", with_body=True)
        return answer  # only asked whether the user may
    identity = call.sim.identity
    return answer | {"ticket": identity.ticket(userid), "CSRFPreventionToken": identity.csrf_token(userid)}


def _capabilities(rights: Rights, userid: str) -> dict[str, dict[str, int]]:
    """What the web interface may offer the user."""
    found = {}
    for section, (path, wanted) in _CAPABILITIES.items():
        held = rights.permissions(userid, path)
        found[section] = {name: 1 for name in held if name.startswith(wanted)}
    return found


def _nothing(call: Call) -> object:  # noqa: ARG001 - GET /access/ticket is a dummy in PVE too
    return None


def _permissions(call: Call) -> object:
    userid, path = call.params.get("userid", call.user), call.params.get("path")
    if userid != call.user:
        owner = userid.partition("!")[0]
        if owner != call.user:
            call.check("/access", "Sys.Audit")
    rights = call.sim.rights
    if userid.partition("!")[0] not in call.sim.state["users"]:
        return {}
    paths = [path] if path is not None else rights.paths_of_interest()
    found = {one: rights.permissions(userid, one) for one in paths}
    return {one: privileges for one, privileges in found.items() if privileges or one == path}


# -- users ------------------------------------------------------------------------------------------------------------
def _listed_user(call: Call, userid: str) -> dict[str, Any]:
    """Enabled and expiry always; what follows in the file's line shows when something there is set."""
    record = call.sim.state["users"][userid]
    item = {"enable": int(record.get("enable", 1)), "expire": int(record.get("expire", 0))}
    item |= {key: record[key] for key in ("comment", "firstname", "lastname", "keys") if record.get(key)}
    if record.get("email") or record.get("comment") or record.get("keys"):
        item["email"] = record.get("email", "")
    return item


def _users(call: Call) -> object:
    seen = call.sim.rights.visible_users(call.user, "User.Modify", "Sys.Audit")
    items = []
    for userid, record in sorted(call.sim.state["users"].items()):
        if userid not in seen and userid != call.user:
            continue
        item = {"userid": userid, "realm-type": userid.rpartition("@")[2]} | _listed_user(call, userid)
        if call.params.get("full"):
            tokens = [{"tokenid": name} | token_info(token) for name, token in record.get("tokens", {}).items()]
            item |= {"groups": ",".join(record.get("groups", [])), "tokens": tokens}
        if "enabled" in call.params and item["enable"] != call.params["enabled"]:
            continue
        items.append(item)
    return items


def _user(call: Call) -> object:
    userid = call.params["userid"]
    check_user_exists(call.sim.state, userid)
    record = call.sim.state["users"][userid]
    tokens = {name: token_info(token) for name, token in record.get("tokens", {}).items()}
    return _listed_user(call, userid) | {"groups": list(record.get("groups", [])), "tokens": tokens}


def _create_user(call: Call) -> None:
    userid = call.params["userid"]
    realm = userid.rpartition("@")[2]
    if realm not in {"pam", "pve"}:
        raise died(f"create user failed: domain '{realm}' does not exist")
    with call.sim.state.changing() as data:
        if userid in data["users"]:
            raise died(f"create user failed: user '{userid}' already exists")
        record = {"enable": 1, "expire": 0, "groups": [], "tokens": {}}
        data["users"][userid] = record
        _apply_user(call, record)
        if "password" in call.params:
            call.sim.identity.set_password(userid, call.params["password"])


def _apply_user(call: Call, record: dict[str, Any]) -> None:
    for key in ("enable", "expire", "comment", "email", "firstname", "lastname", "keys"):
        if key in call.params:
            record[key] = call.params[key]
    if "groups" in call.params:
        groups = split_list(call.params["groups"])
        for group in groups:
            if group not in call.sim.state["groups"]:
                raise died(f"no such group '{group}'")
        record["groups"] = sorted({*record["groups"], *groups}) if call.params.get("append") else groups


def _update_user(call: Call) -> None:
    check_user_exists(call.sim.state, call.params["userid"])
    with call.sim.state.changing() as data:
        _apply_user(call, data["users"][call.params["userid"]])


def _delete_user(call: Call) -> None:
    """Deleting somebody who is not there is no error for those who may delete."""
    userid = call.params["userid"]
    with call.sim.state.changing() as data:
        record = data["users"].pop(userid, {})
        data["passwords"].pop(userid, None)
        for name in record.get("tokens", {}):
            forget_token(data, userid, name)
        forget_in_acl(data, "users", userid)


def _change_password(call: Call) -> None:
    check_user_exists(call.sim.state, call.params["userid"])
    with call.sim.state.changing():
        call.sim.identity.set_password(call.params["userid"], call.params["password"])


_MODIFY = over_user("User.Modify")
_USER = {"userid": needed(text(user_id, longest=64))}
_USER_KEYS: dict[str, Param] = {
    "comment": text(longest=2048),
    "email": text(longest=254),
    "enable": boolean(),
    "expire": integer(0),
    "firstname": text(longest=1024),
    "lastname": text(longest=1024),
    "groups": list_of(group_id),
    "keys": text(),
}
_PASSWORD = text(longest=64, shortest=8)
_LOGIN = {
    "username": needed(text(longest=64)),
    "password": needed(text()),
    "realm": text(longest=32),
    "otp": text(),
    "path": text(longest=64, requires="privs"),
    "privs": PRIVILEGE_LIST,
    "tfa-challenge": text(),
    "new-format": boolean(),
}
_PATH = "/access/users/{userid}"
ROUTES = (
    Route("GET", "/access/ticket", _nothing),
    Route("POST", "/access/ticket", _login, _LOGIN, takes_token=False),
    Route(
        "PUT",
        "/access/password",
        _change_password,
        _USER | {"password": needed(_PASSWORD), "confirmation-password": text(longest=64)},
        either(oneself, both(over_realm, _MODIFY)),
        takes_token=False,
    ),
    Route("GET", "/access/permissions", _permissions, {"path": text(), "userid": text()}),
    Route("GET", "/access/users", _users, {"enabled": boolean(), "full": boolean()}),
    Route(
        "POST",
        "/access/users",
        _create_user,
        _USER | _USER_KEYS | {"password": _PASSWORD},
        both(over_realm, over_groups),
    ),
    Route("GET", _PATH, _user, _USER, over_user("User.Modify", "Sys.Audit")),
    Route("PUT", _PATH, _update_user, _USER | _USER_KEYS | {"append": boolean(requires="groups")}, _MODIFY),
    Route("DELETE", _PATH, _delete_user, _USER, both(over_realm, _MODIFY)),
)
