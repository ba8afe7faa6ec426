"""Answer `pveum` on the node: the commands on users, roles, tokens, ACL and pools, each one call of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import routes
from .dispatch import Dispatcher
from .pvesh import REFUSED, Asked, Outcome, call
from .simulator import Simulator

_USER, _TOKEN, _ROLE = "/access/users/{userid}", "/access/users/{userid}/token/{tokenid}", "/access/roles/{roleid}"
# Words -> method, path, and what stands on the command line without a name.
COMMANDS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "acl delete": ("PUT", "/access/acl", ("path",)),
    "acl list": ("GET", "/access/acl", ()),
    "acl modify": ("PUT", "/access/acl", ("path",)),
    "pool add": ("POST", "/pools", ("poolid",)),
    "pool delete": ("DELETE", "/pools/{poolid}", ("poolid",)),
    "pool list": ("GET", "/pools", ()),
    "pool modify": ("PUT", "/pools/{poolid}", ("poolid",)),
    "role add": ("POST", "/access/roles", ("roleid",)),
    "role delete": ("DELETE", _ROLE, ("roleid",)),
    "role list": ("GET", "/access/roles", ()),
    "role modify": ("PUT", _ROLE, ("roleid",)),
    "user add": ("POST", "/access/users", ("userid",)),
    "user delete": ("DELETE", _USER, ("userid",)),
    "user list": ("GET", "/access/users", ()),
    "user modify": ("PUT", _USER, ("userid",)),
    "user token add": ("POST", _TOKEN, ("userid", "tokenid")),
    "user token list": ("GET", "/access/users/{userid}/token", ("userid",)),
    "user token modify": ("PUT", _TOKEN, ("userid", "tokenid")),
    "user token remove": ("DELETE", _TOKEN, ("userid", "tokenid")),
}


def run(sim: Simulator, dispatcher: Dispatcher, arguments: Sequence[str]) -> Outcome:
    """`pveum ARGUMENTS` as root."""
    name = next((name for name in COMMANDS if list(arguments[: len(name.split())]) == name.split()), None)
    if name is None:
        known = "".join(f"       pveum {name}\n" for name in COMMANDS)
        return Outcome(stderr=f"ERROR: unknown command 'pveum {' '.join(arguments)}'\nUSAGE:\n{known}", code=REFUSED)
    method, template, positional = COMMANDS[name]
    rest = list(arguments[len(name.split()) :])
    shown = f"pveum {name}{''.join(f' <{argument}>' for argument in positional)}"
    given = dict(zip(positional, rest, strict=False))
    if len(given) < len(positional) or any(value.startswith("-") for value in given.values()):
        return Outcome(stderr=f"400 not enough arguments\n{shown} [OPTIONS]\n", code=REFUSED)
    path = template.format_map(given)
    found = routes.find(method, path)
    if found is None:  # an identifier with a slash in it
        return Outcome(stderr=f"400 Parameter verification failed.\n{shown} [OPTIONS]\n", code=REFUSED)
    removal = {"delete": "1"} if name == "acl delete" else {}
    return call(sim, dispatcher, Asked(found[0], path, given | removal, shown), rest[len(positional) :])
