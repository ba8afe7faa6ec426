"""Know which role gives a token each privilege, and the exact commands that give back one that is missing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

ROLES = {
    "MgmtAudit": "Sys.Audit VM.Audit Datastore.Audit Pool.Audit SDN.Audit",
    "MgmtProvision": (
        "VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit"
        " VM.Config.Disk VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options"
        " VM.Monitor VM.PowerMgmt Pool.Audit"
    ),
    # AllocateTemplate is for images to import, which PVE counts among the templates.
    "MgmtStore": "Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit",
    "MgmtBridge": "SDN.Use",
    # AccessNetwork lets the node fetch an image by itself.
    "MgmtNode": "Sys.AccessNetwork Sys.Audit",
    # PVE asks for Sys.Modify on / before it lets anyone set a VM's start order.
    "MgmtStartup": "Sys.Modify",
}
AUDIT, STARTUP = "MgmtAudit", "MgmtStartup"
BRIDGES = "/sdn/zones/localnetwork"


@dataclass(frozen=True)
class Need:
    """`privilege` must hold at `path`; it is granted by `role` at `at`."""

    path: str
    privilege: str
    role: str
    at: str
    propagate: bool = True


@dataclass(frozen=True)
class Grants:
    """The access list and the roles; `acl` is (path, who) -> roles, and holds what the asker may see of it."""

    acl: Mapping[tuple[str, str], frozenset[str]]
    roles: Mapping[str, frozenset[str]]
    built_in: frozenset[str]


def documented_need(purpose: str, path: str, privilege: str) -> Need | None:
    """How the token of that purpose comes by a privilege; None for one that it must not have."""
    held = [role for role, privileges in ROLES.items() if privilege in privileges.split()]
    if purpose == "verify":
        return Need(path, privilege, AUDIT, "/") if AUDIT in held else None
    own = [role for role in held if role != AUDIT]
    if not own:
        return None
    at = BRIDGES if path.startswith(f"{BRIDGES}/") else path
    return Need(path, privilege, own[0], at, propagate=own[0] != STARTUP)


def advise(token: str, needs: Sequence[Need], grants: Grants | None) -> str:
    """What to do about missing privileges."""
    return typed(commands(token, needs, grants))


def typed(lines: Sequence[str]) -> str:
    """Commands as somebody is to type them."""
    return f"Run as root on the node: `{'; '.join(lines)}`"


def commands(token: str, needs: Sequence[Need], grants: Grants | None) -> list[str]:
    """Everything that gives the missing privileges, each command once."""
    places = dict.fromkeys((need.at, need.role) for need in needs)
    together = [[need for need in needs if (need.at, need.role) == place] for place in places]
    return list(dict.fromkeys(command for these in together for command in mend(token, these, grants)))


def mend(token: str, needs: Sequence[Need], grants: Grants | None) -> Iterator[str]:
    """The commands that give what is missing at one place: into the role granted there, or by granting the role."""
    need, wanted = needs[0], " ".join(sorted({need.privilege for need in needs}))
    user = token.partition("!")[0]
    holders = (grants.acl.get((need.at, who), frozenset()) for who in (user, token)) if grants else ()
    common = frozenset.intersection(*holders) if grants else frozenset()
    own = sorted(common - grants.built_in) if grants else []
    role = need.role if need.role in own or not own else own[0]
    known = grants.roles if grants else {}
    changes_role = role not in known or not set(wanted.split()) <= known[role]
    if grants is not None and role not in known:
        yield f"pveum role add {role} --privs {shlex.quote(ROLES.get(role, wanted))}"
    elif changes_role:
        yield f"pveum role modify {role} --privs {shlex.quote(wanted)} --append 1"
    if role not in common or not changes_role:
        # Where the role is granted and suffices, an entry further down takes it away again: grant it there.
        at = need.path if role in common else need.at
        propagate = "" if need.propagate else " --propagate 0"
        yield f"pveum acl modify {at} --roles {role} --users {user} --tokens {shlex.quote(token)}{propagate}"
