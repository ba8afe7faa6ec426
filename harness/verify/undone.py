"""Say what bootstrap would still change in PVE, by the derivations it uses itself: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.bootstrap import pve_changes
from harness.bootstrap.grants import required_pool
from harness.bootstrap.variables import derive_accounts, derive_backup, derive_grants
from harness.contract import Contract
from harness.privileges import ROLES

Entries = Iterable[Mapping[str, Any]]


def undone_roles(roles: Entries) -> list[str]:
    return _texts(pve_changes.role_changes(roles, ROLES))


def undone_users(contract: Contract, users: Entries) -> list[str]:
    return _texts(pve_changes.user_changes(users, derive_accounts(contract)))


def undone_tokens(contract: Contract, users: Entries) -> list[str]:
    """Tokens that are missing, have their user's rights whole, or end some day."""
    found, wanted = list(users), derive_accounts(contract)
    missing = [f"{one['text']} is missing" for one in pve_changes.missing_tokens(found, wanted)]
    return missing + _texts(pve_changes.token_changes(found, wanted))


def other_tokens(contract: Contract, users: Entries) -> list[str]:
    """Tokens of our users that nobody declared: bootstrap leaves them alone, and so they stay a way in."""
    declared = {f"{one['user']}!{one['token']}" for one in derive_accounts(contract)}
    ours = {one["user"] for one in derive_accounts(contract)}
    held = {f"{user['userid']}!{token['tokenid']}" for user in users for token in user.get("tokens") or ()}
    return sorted(one for one in held - declared if one.partition("!")[0] in ours)


def undone_grants(contract: Contract, acl: Entries) -> list[str]:
    return _texts(pve_changes.acl_changes(acl, derive_grants(contract), derive_accounts(contract)))


def undone_pool(contract: Contract, pools: Entries, resources: Entries) -> list[str]:
    """The pool, and the templates that belong into it."""
    pool = required_pool(contract)
    templates = [{"name": one.name, "vmid": one.vmid} for one in contract.hypervisor.templates.values()]
    members = pve_changes.template_changes(resources, pool, templates)
    return _texts([*pve_changes.pool_changes(pools, pool), *members])


def undone_backup(contract: Contract, jobs: Entries) -> list[str]:
    job = derive_backup(contract)
    return _texts(pve_changes.job_changes(jobs, job["id"], job["options"])) if job else []


def _texts(changes: Iterable[pve_changes.Change]) -> list[str]:
    return [change["text"] for change in changes]
