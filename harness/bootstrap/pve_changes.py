"""Derive the pvesh commands between what PVE has and what it should have; nothing to do is an empty list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

JSON = ("--output-format", "json")


class Change(TypedDict):
    """One command, and the sentence it is for."""

    text: str
    argv: list[str]


def role_changes(found: Iterable[Mapping[str, Any]], wanted: Mapping[str, str]) -> list[Change]:
    """Roles with exactly these privileges."""
    held = {role["roleid"]: _words(role.get("privs")) for role in found}
    changes = []
    for role, text in wanted.items():
        privileges = set(text.split())
        said = ",".join(sorted(privileges))
        if role not in held:
            changes.append(_create(f"role {role}", "/access/roles", roleid=role, privs=said))
        elif held[role] != privileges:
            changes.append(_set(f"role {role}: {_apart(held[role], privileges)}", f"/access/roles/{role}", privs=said))
    return changes


def user_changes(found: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, str]]) -> list[Change]:
    """Users that are enabled, do not expire and inherit nothing from a group."""
    held = {user["userid"]: user for user in found}
    changes = []
    for account in wanted:
        name, user = account["user"], held.get(account["user"])
        if user is None:
            changes.append(_create(f"user {name}", "/access/users", userid=name, comment=account["comment"]))
            continue
        path = f"/access/users/{name}"
        if not int(user.get("enable", 1)) or int(user.get("expire", 0) or 0):
            changes.append(_set(f"user {name}: enabled, without an end", path, enable=1, expire=0))
        if _words(user.get("groups")):
            changes.append(_set(f"user {name}: out of the groups {user['groups']}", path, groups=""))
    return changes


def token_changes(
    found: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, str]], anew: Iterable[Mapping[str, str]] = ()
) -> list[Change]:
    """Tokens that stay keep the separation of privileges and have no end; the others are made so."""
    held = _without(_tokens(found), anew)
    changes = []
    for account in wanted:
        name = _full_token(account)
        token = held.get(name)
        if token is not None and (not int(token.get("privsep", 1)) or int(token.get("expire", 0) or 0)):
            text = f"token {name}: privileges separated, without an end"
            changes.append(_set(text, _token_path(account), privsep=1, expire=0))
    return changes


def token_removals(found: Iterable[Mapping[str, Any]], anew: Iterable[Mapping[str, str]]) -> list[Change]:
    """What making a token anew begins with."""
    held = _tokens(found)
    return [
        Change(
            text=f"token {_full_token(account)}: the old secret ends", argv=["pvesh", "delete", _token_path(account)]
        )
        for account in anew
        if _full_token(account) in held
    ]


def missing_tokens(
    found: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, str]], anew: Iterable[Mapping[str, str]] = ()
) -> list[dict[str, Any]]:
    """The accounts whose token is to be made, with the command; its answer holds the secret."""
    held = _without(_tokens(found), anew)
    return [
        {
            **account,
            "text": f"token {_full_token(account)}",
            "argv": ["pvesh", "create", _token_path(account), "--privsep", "1", *JSON],
        }
        for account in wanted
        if _full_token(account) not in held
    ]


def acl_changes(
    found: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]], ours: Iterable[Mapping[str, str]]
) -> list[Change]:
    """Exactly the wanted grants for our users and tokens; everybody else's are not looked at."""
    names = {name for account in ours for name in (account["user"], f"{account['user']}!{account['token']}")}
    held = {
        (entry["path"], entry["type"], entry["ugid"], entry["roleid"]): int(entry.get("propagate", 1))
        for entry in found
        if entry["ugid"] in names
    }
    due = {
        (grant["path"], kind, name, grant["role"]): int(grant["propagate"])
        for grant in wanted
        for kind, name in (("user", grant["user"]), ("token", f"{grant['user']}!{grant['token']}"))
    }
    # First what is too much: a privilege is not lent for a moment longer than needed.
    extra = [_acl(key, held[key], delete=1) for key in held if key not in due]
    return extra + [_acl(key, propagate) for key, propagate in due.items() if held.get(key) != propagate]


def _acl(key: tuple[str, str, str, str], propagate: int, **more: int) -> Change:
    path, kind, name, role = key
    verb = "no longer" if more else "may"
    kept = "" if propagate else " (there only)"
    options = {"path": path, "roles": role, f"{kind}s": name, "propagate": propagate, **more}
    return _set(f"{name} {verb} {role} on {path}{kept}", "/access/acl", **options)


def pool_changes(found: Iterable[Mapping[str, Any]], pool: str) -> list[Change]:
    """The pool is there."""
    if any(one["poolid"] == pool for one in found):
        return []
    return [_create(f"pool {pool}", "/pools", poolid=pool, comment="management VMs")]


def template_changes(
    resources: Iterable[Mapping[str, Any]], pool: str, templates: Iterable[Mapping[str, Any]]
) -> list[Change]:
    """Templates that are there already are members of the pool: the provisioning token sees nothing else."""
    wanted = list(templates)
    changes = []
    for vm in resources:
        if not int(vm.get("template", 0)) or vm.get("pool") == pool:
            continue
        if any(vm.get("name") == one["name"] and one["vmid"] in (None, vm["vmid"]) for one in wanted):
            vmid = str(vm["vmid"])
            changes.append(_set(f"template {vm['name']} ({vmid}): in the pool {pool}", f"/pools/{pool}", vms=vmid))
    return changes


def storage_changes(found: Iterable[Mapping[str, Any]], wanted: Mapping[str, Iterable[str]]) -> list[Change]:
    """Declared storages are enabled and hold exactly the declared kinds of content."""
    held = {storage["storage"]: storage for storage in found}
    changes = []
    for name, kinds in wanted.items():
        if name not in held:
            continue  # refused before anything changes
        seen, due = _words(held[name].get("content")), set(kinds)
        if seen != due:
            text = f"storage {name}: content {_apart(seen, due)}"
            changes.append(_set(text, f"/storage/{name}", content=",".join(sorted(due))))
        if int(held[name].get("disable", 0)):
            changes.append(_set(f"storage {name}: enabled", f"/storage/{name}", disable=0))
    return changes


def job_changes(found: Iterable[Mapping[str, Any]], job: str, wanted: Mapping[str, Any]) -> list[Change]:
    """The backup job does what is declared; options that the inventory does not speak of are left alone."""
    held = next((one for one in found if one["id"] == job), None)
    if held is None:
        return [_create(f"backup job {job}", "/cluster/backup", id=job, **wanted)]
    # A job backs up a pool, all VMs or a list of them; what another kind left would win.
    others = [key for key in ("all", "vmid", "exclude", "node") if held.get(key)]
    differ = {key: value for key, value in wanted.items() if _plain(held.get(key)) != _plain(value)}
    if not differ and not others:
        return []
    said = ", ".join([f"{key} {_plain(held.get(key)) or 'not set'} -> {differ[key]}" for key in differ])
    text = f"backup job {job}: {said or 'only the pool'}"
    removed = {"delete": ",".join(others)} if others else {}
    return [_set(text, f"/cluster/backup/{job}", **differ, **removed)]


def _plain(value: Any) -> str:
    """A property string, or the mapping PVE makes of it, in one order."""
    if isinstance(value, Mapping):
        value = ",".join(f"{key}={part}" for key, part in value.items())
    return ",".join(sorted(str("" if value is None else value).split(",")))


def _tokens(users: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {f"{user['userid']}!{token['tokenid']}": token for user in users for token in user.get("tokens") or ()}


def _without(
    tokens: dict[str, Mapping[str, Any]], accounts: Iterable[Mapping[str, str]]
) -> dict[str, Mapping[str, Any]]:
    gone = {_full_token(account) for account in accounts}
    return {name: token for name, token in tokens.items() if name not in gone}


def _full_token(account: Mapping[str, str]) -> str:
    return f"{account['user']}!{account['token']}"


def _token_path(account: Mapping[str, str]) -> str:
    return f"/access/users/{account['user']}/token/{account['token']}"


def _words(text: Any) -> set[str]:
    words = text if isinstance(text, list) else str(text or "").replace(",", " ").split()
    return set(words)


def _apart(seen: set[str], due: set[str]) -> str:
    return " ".join([*(f"+{one}" for one in sorted(due - seen)), *(f"-{one}" for one in sorted(seen - due))])


def _create(text: str, target: str, /, **options: Any) -> Change:
    return Change(text=text, argv=["pvesh", "create", target, *_options(options)])


def _set(text: str, target: str, /, **options: Any) -> Change:
    return Change(text=text, argv=["pvesh", "set", target, *_options(options)])


def _options(options: Mapping[str, Any]) -> list[str]:
    return [word for key, value in options.items() for word in (f"--{key}", str(value))]
