"""Roles, ACL, groups and realms: what somebody may, and where."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from .call import Call, Route
from .failures import bad_parameters, died, forbidden
from .formats import FormatError, group_id, role_id, token_id, user_id
from .rights import PRIVILEGES, SPECIAL_ROLES, Rights, acl_change_privileges, perm
from .schema import Param, boolean, list_of, needed, split_list, text

_REALMS = {
    "pam": {"type": "pam", "comment": "Linux PAM standard authentication"},
    "pve": {"type": "pve", "comment": "Proxmox VE authentication server"},
}
_NAME = r"[A-Za-z0-9.\-_]+"
_ACL_PATH = re.compile(
    rf"/|/access(/groups(/{_NAME})?|/realm(/{_NAME})?)?|/nodes(/{_NAME})?|/pool(/{_NAME}){{0,3}}"
    rf"|/sdn(/zones(/{_NAME}(/{_NAME}(/\d+)?)?)?|/controllers|/dns|/ipams)?|/storage(/{_NAME})?|/vms(/[1-9]\d{{2,}})?"
    rf"|/mapping(/(dir|hwmap|notification|pci|usb)(/{_NAME})?)?"
)
_SUBJECTS = ("users", "groups", "tokens")


def _privilege(name: str) -> None:
    if name not in PRIVILEGES:
        raise FormatError(f"invalid privilege '{name}'")


PRIVILEGE_LIST: Param = list_of(_privilege)


# -- roles ------------------------------------------------------------------------------------------------------------
def _roles(call: Call) -> object:
    special = [(name, privileges, 1) for name, privileges in SPECIAL_ROLES.items()]
    own = [(name, frozenset(privileges), 0) for name, privileges in call.sim.state["roles"].items()]
    return [
        {"roleid": name, "privs": ",".join(sorted(privileges)), "special": is_special}
        for name, privileges, is_special in special + own
    ]


def _role(call: Call) -> object:
    privileges = call.sim.rights.role(call.params["roleid"])
    if privileges is None:
        raise died(f"role '{call.params['roleid']}' does not exist")
    return dict.fromkeys(privileges, 1)


def _create_role(call: Call) -> None:
    name = call.params["roleid"]
    if name.upper().startswith("PVE"):
        refusal = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace"
        raise bad_parameters({"roleid": refusal})
    with call.sim.state.changing() as data:
        if call.sim.rights.role(name) is not None:
            raise died(f"create role failed: role '{name}' already exists")
        data["roles"][name] = sorted(set(split_list(call.params.get("privs", ""))))


def _update_role(call: Call) -> None:
    name = call.params["roleid"]
    if name in SPECIAL_ROLES:
        raise died(f"auto-generated role '{name}' cannot be modified")
    with call.sim.state.changing() as data:
        if name not in data["roles"]:
            raise died(f"modify role failed: role '{name}' does not exist")
        kept = set(data["roles"][name]) if call.params.get("append") else set()
        data["roles"][name] = sorted(kept | set(split_list(call.params.get("privs", ""))))


def _delete_role(call: Call) -> None:
    name = call.params["roleid"]
    if name in SPECIAL_ROLES:
        raise died(f"auto-generated role '{name}' cannot be deleted")
    with call.sim.state.changing() as data:
        if name not in data["roles"]:
            raise died(f"delete role failed: role '{name}' does not exist")
        del data["roles"][name]
        for entry in data["acl"].values():
            for kind in _SUBJECTS:
                for granted in entry.get(kind, {}).values():
                    granted.pop(name, None)


# -- ACL --------------------------------------------------------------------------------------------------------------
def _acl(call: Call) -> object:
    """All entries for auditors of /access, else those the caller could change."""
    rights = call.sim.rights
    sees_all = rights.has(call.user, "/access", "Sys.Audit")
    items = []
    for path, entry in sorted(call.sim.state["acl"].items()):
        if not sees_all and not _may_change(rights, call.user, path):
            continue
        for kind in _SUBJECTS:
            for name, granted in entry.get(kind, {}).items():
                items += [_entry(path, kind, name, role, propagate) for role, propagate in granted.items()]
    return items


def _may_change(rights: Rights, user: str, path: str) -> bool:
    return rights.has_any(user, path, *acl_change_privileges(path))


def _entry(path: str, kind: str, name: str, role: str, propagate: int) -> dict[str, Any]:
    return {"path": path, "type": kind.removesuffix("s"), "ugid": name, "roleid": role, "propagate": propagate}


def _change_acl(call: Call) -> None:
    params = call.params
    path = "/" + "/".join(part for part in params["path"].split("/") if part)
    subjects = {kind: split_list(params[kind]) for kind in _SUBJECTS if kind in params}
    if not subjects:
        raise bad_parameters(dict.fromkeys(_SUBJECTS, "either 'users', 'groups' or 'tokens' is required."))
    if not _ACL_PATH.fullmatch(path):
        raise bad_parameters({"path": f"invalid ACL path '{params['path']}'"})
    roles, propagate = split_list(params["roles"]), int(params.get("propagate", 1))
    _check_grantable(call, path, roles)
    with call.sim.state.changing() as data:
        _check_known(call, roles, subjects)
        entry = data["acl"].setdefault(path, {})
        for kind, names in subjects.items():
            for name in names:
                granted = entry.setdefault(kind, {}).setdefault(name, {})
                for role in roles:
                    granted.pop(role, None)
                    if not params.get("delete"):
                        granted[role] = propagate


def _check_grantable(call: Call, path: str, roles: list[str]) -> None:
    """Without Permissions.Modify only roles within one's own rights may be given."""
    if call.sim.rights.has(call.user, path, "Permissions.Modify"):
        return
    held = call.sim.rights.permissions(call.user, path)
    for role in roles:
        for privilege in sorted(call.sim.rights.role(role) or ()):
            if not held.get(privilege):
                raise forbidden(f"{path}, {privilege}")


def _check_known(call: Call, roles: list[str], subjects: dict[str, list[str]]) -> None:
    state = call.sim.state
    for role in roles:
        if call.sim.rights.role(role) is None:
            raise died(f"ACL update failed: role '{role}' does not exist")
    for name in subjects.get("groups", []):
        if name not in state["groups"]:
            raise died(f"ACL update failed: group '{name}' does not exist")
    for name in subjects.get("users", []):
        if name not in state["users"]:
            raise died(f"ACL update failed: user '{name}' does not exist")
    for name in subjects.get("tokens", []):
        owner, _, token = name.partition("!")
        if token not in state["users"].get(owner, {}).get("tokens", {}):
            raise died(f"ACL update failed: token '{name}' does not exist")


def _acl_need(rights: Rights, user: str, params: Any) -> None:
    rights.check_acl_change(user, str(params.get("path", "/access")))


# -- groups and realms ------------------------------------------------------------------------------------------------
def _members(call: Call, group: str) -> list[str]:
    return sorted(name for name, record in call.sim.state["users"].items() if group in record.get("groups", []))


def _groups(call: Call) -> object:
    seen = [
        name
        for name in sorted(call.sim.state["groups"])
        if call.may_any(f"/access/groups/{name}", "User.Modify", "Sys.Audit", "Group.Allocate")
    ]
    return [{"groupid": name, "users": ",".join(_members(call, name))} | _comment(call, name) for name in seen]


def _comment(call: Call, group: str) -> dict[str, str]:
    comment = call.sim.state["groups"][group].get("comment")
    return {"comment": comment} if comment else {}


def _known_group(call: Call) -> str:
    name = str(call.params["groupid"])
    if name not in call.sim.state["groups"]:
        raise died(f"group '{name}' does not exist")
    return name


def _group(call: Call) -> object:
    name = _known_group(call)
    return _comment(call, name) | {"members": _members(call, name)}


def _create_group(call: Call) -> None:
    name = call.params["groupid"]
    with call.sim.state.changing() as data:
        if name in data["groups"]:
            raise died(f"create group failed: group '{name}' already exists")
        data["groups"][name] = {"comment": call.params.get("comment", "")}


def _update_group(call: Call) -> None:
    name = _known_group(call)
    with call.sim.state.changing() as data:
        data["groups"][name]["comment"] = call.params.get("comment", "")


def _delete_group(call: Call) -> None:
    name = _known_group(call)
    with call.sim.state.changing() as data:
        del data["groups"][name]
        for record in data["users"].values():
            record["groups"] = [group for group in record.get("groups", []) if group != name]
        for entry in data["acl"].values():
            entry.get("groups", {}).pop(name, None)


def _realms(call: Call) -> object:  # noqa: ARG001 - two built-in realms, whoever asks
    return [{"realm": name} | facts for name, facts in _REALMS.items()]


def _realm(call: Call) -> object:
    facts = _REALMS.get(call.params["realm"])
    if facts is None:
        raise died(f"domain '{call.params['realm']}' does not exist")
    plugin = f"PVE::Auth::{'PAM' if facts['type'] == 'pam' else 'PVE'}"
    return facts | {"plugin": plugin, "digest": hashlib.sha1(b"", usedforsecurity=False).hexdigest()}


def _tfa(call: Call) -> object:  # noqa: ARG001 - nobody has a second factor here
    return []


def _index(call: Call) -> object:  # noqa: ARG001 - the same for everybody
    names = ("users", "groups", "roles", "acl", "domains", "openid", "tfa", "ticket", "password")
    return [{"subdir": name} for name in names]


_ROLE = {"roleid": needed(text(role_id))}
_GROUP = {"groupid": needed(text(group_id))}
_MODIFY = perm("/access", "Sys.Modify")
_ALLOCATE = perm("/access/groups", "Group.Allocate")
_ACL = {
    "path": needed(text()),
    "roles": needed(list_of(role_id)),
    "users": list_of(user_id),
    "groups": list_of(group_id),
    "tokens": list_of(token_id),
    "propagate": boolean(),
    "delete": boolean(),
}
_AUDIT_GROUPS = perm("/access/groups", "Sys.Audit", "Group.Allocate", any_of_them=True)
_AUDIT_REALMS = perm("/access/realm", "Realm.Allocate", "Sys.Audit", any_of_them=True)
ROUTES = (
    Route("GET", "/access", _index),
    Route("GET", "/access/roles", _roles),
    Route("POST", "/access/roles", _create_role, _ROLE | {"privs": PRIVILEGE_LIST}, _MODIFY),
    Route("GET", "/access/roles/{roleid}", _role, _ROLE),
    Route(
        "PUT",
        "/access/roles/{roleid}",
        _update_role,
        _ROLE | {"privs": PRIVILEGE_LIST, "append": boolean(requires="privs")},
        _MODIFY,
    ),
    Route("DELETE", "/access/roles/{roleid}", _delete_role, _ROLE, _MODIFY),
    Route("GET", "/access/acl", _acl),
    Route("PUT", "/access/acl", _change_acl, _ACL, _acl_need),
    Route("GET", "/access/groups", _groups),
    Route("POST", "/access/groups", _create_group, _GROUP | {"comment": text()}, _ALLOCATE),
    Route("GET", "/access/groups/{groupid}", _group, _GROUP, _AUDIT_GROUPS),
    Route("PUT", "/access/groups/{groupid}", _update_group, _GROUP | {"comment": text()}, _ALLOCATE),
    Route("DELETE", "/access/groups/{groupid}", _delete_group, _GROUP, _ALLOCATE),
    Route("GET", "/access/domains", _realms),
    Route("GET", "/access/domains/{realm}", _realm, {"realm": needed(text())}, _AUDIT_REALMS),
    Route("GET", "/access/tfa", _tfa),
)
