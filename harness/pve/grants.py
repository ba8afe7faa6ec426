"""Read who was given which role where, so that advice about a missing privilege fits this hypervisor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from harness.errors import HarnessError
from harness.privileges import Grants, advise, documented_need
from harness.pve.wire import parse_bool, parse_list


class Asker(Protocol):
    """What reads PVE's answers as somebody."""

    @property
    def who(self) -> str: ...
    @property
    def purpose(self) -> str: ...
    def get(self, path: str, *, cached: bool = False) -> Any: ...


def read_grants(client: Asker) -> Grants:
    """Everybody may read the roles; of the access list PVE shows what the credential may see."""
    return parse_grants(client.get("/access/acl", cached=True), client.get("/access/roles", cached=True))


def parse_grants(acl: Iterable[Mapping[str, Any]], roles: Iterable[Mapping[str, Any]]) -> Grants:
    """PVE's answers to /access/acl and /access/roles."""
    entries: dict[tuple[str, str], frozenset[str]] = {}
    for entry in acl:
        key = (str(entry["path"]), str(entry["ugid"]))
        entries[key] = entries.get(key, frozenset()) | {str(entry["roleid"])}
    known = list(roles)
    return Grants(
        entries,
        {str(role["roleid"]): parse_list(role.get("privs")) for role in known},
        frozenset(str(role["roleid"]) for role in known if parse_bool(role.get("special"))),
    )


def advise_client(client: Asker, path: str, privileges: Iterable[str]) -> str:
    """What gives this client's token one of the privileges at `path`."""
    wanted = list(privileges)
    needs = [need for one in wanted if (need := documented_need(client.purpose, path, one)) is not None]
    if not needs:
        return (
            f"{client.who} is not meant to have {' or '.join(wanted)} on {path}: look what asked for it, or give it to "
            "the token and to its user with `pveum acl modify` on the node"
        )
    return f"{advise(client.who, needs[:1], _grants(client))}; bootstrap gives what is documented, too"


def _grants(client: Asker) -> Grants | None:
    """Only the advice depends on it: without it the documented roles are named."""
    try:
        return read_grants(client)
    except HarnessError:
        return None
