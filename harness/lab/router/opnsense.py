"""OPNsense's API as far as DHCP and DNS go: HTTP 200 for a refusal, and nothing active until its service is told."""

from __future__ import annotations

import base64
import hmac
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from . import opnsense_kea, opnsense_unbound
from .grid import RECORD_SET_ROWS, Labels, Shape, expanded, model_rows, page
from .seed import Seed
from .server import Answer, Request
from .services import FOR_EVER, KEA, UNBOUND, Services
from .state import StateFile

NOT_DONE = {"result": "failed"}  # a mutating action that was not posted, or posted without its wrapper
NO_ENDPOINT = Answer(404, {"errorMessage": "Endpoint not found"})
# Beside the state: a file here that is named like an action, with dots, holds what that action says instead of doing
# anything. A FIFO holds the request up until somebody writes there; with nothing written it is done after all.
FAULTS = "faults"


@dataclass(frozen=True)
class Key:
    """An API key; `pages` are the beginnings of the paths below /api/ that its user may use."""

    key: str
    secret: str
    pages: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Table:
    """A list of a model that can be searched, added to, set and deleted from."""

    module: str  # key of the state
    entries: str  # key of the module
    wrapper: str
    empty: Mapping[str, str]
    labels: Callable[[Mapping[str, Any]], Labels]
    complaints: Callable[[Mapping[str, Any], str, Mapping[str, str]], dict[str, str]]
    hidden: tuple[str, ...] = ()  # fields that are kept, but no column of the grid


TABLES = {
    ("kea", "dhcpv4", "reservation"): Table(
        "kea",
        "reservations",
        "reservation",
        opnsense_kea.RESERVATION,
        opnsense_kea.labels,
        opnsense_kea.complaints,
        opnsense_kea.HIDDEN,
    ),
    ("unbound", "settings", "host_override"): Table(
        "unbound",
        "hosts",
        "host",
        opnsense_unbound.HOST,
        lambda _: opnsense_unbound.host_labels(),
        lambda _module, _key, given: opnsense_unbound.host_complaints(given),
    ),
    ("unbound", "settings", "host_alias"): Table(
        "unbound",
        "aliases",
        "alias",
        opnsense_unbound.ALIAS,
        opnsense_unbound.alias_labels,
        lambda module, _key, given: opnsense_unbound.alias_complaints(module, given),
    ),
}
DAEMONS = {"kea": KEA, "unbound": UNBOUND}


def first_state(seed: Seed) -> dict[str, Any]:
    return {"kea": opnsense_kea.first_kea(seed), "unbound": opnsense_unbound.first_unbound(seed)}


def daemon_files(state: Mapping[str, Any]) -> dict[str, str]:
    """Each daemon's configuration."""
    return {KEA: opnsense_kea.rendered(state["kea"]), UNBOUND: opnsense_unbound.rendered(state["unbound"])}


class OpnSense:
    """Answers one request at a time for each model, as PHP's lock on config.xml does."""

    def __init__(self, state: StateFile, services: Services, keys: tuple[Key, ...], shape: Shape) -> None:
        self._state, self._services, self._keys, self._shape = state, services, keys, shape

    def __call__(self, request: Request) -> Answer:
        parts = request.path.strip("/").split("/")
        if parts[0] != "api" or len(parts) < 4:
            return NO_ENDPOINT
        module, controller, action, *arguments = (parts[1], _snake(parts[2]), _snake(parts[3]), *parts[4:])
        refused = self._refused(request, f"{module}/{controller}/{action}")
        if refused is not None:
            return refused
        try:
            given = _given(request)
        except ValueError as error:
            return Answer(400, {"status": 400, "message": f"Invalid JSON syntax: {error}"})
        fault = self._fault(f"{module}.{controller}.{action}")
        if fault:
            return Answer(500, {"errorMessage": fault, "errorTitle": "An API exception occurred"})
        with self._state.lock:
            return self._answer(request.method, (module, controller, action), arguments, given)

    def _refused(self, request: Request, path: str) -> Answer | None:
        kind, _, encoded = request.headers.get("authorization", "").partition(" ")
        said = base64.b64decode(encoded).decode() if kind == "Basic" else ""
        user, _, password = said.partition(":")
        known = next((one for one in self._keys if one.key == user), None)
        if known is None or not hmac.compare_digest(known.secret, password):
            return Answer(401, {"status": 401, "message": "Authentication Failed"})
        if not any(path.startswith(page) for page in known.pages):
            return Answer(403, {"status": 403, "message": "Forbidden"})
        return None

    def _fault(self, action: str) -> str:
        file = self._state.path.parent / FAULTS / action
        return file.read_text().strip() if file.exists() else ""

    def _answer(
        self, method: str, name: tuple[str, str, str], arguments: list[str], given: Mapping[str, Any]
    ) -> Answer:
        module, controller, action = name
        if controller == "service":
            return self._service(method, module, action)
        shown = self._shown(name, given)
        if shown is not None:
            return Answer(200, shown)
        verb, _, noun = action.partition("_")
        table = TABLES.get((module, controller, noun))
        if table is None:
            return NO_ENDPOINT
        return self._table(method, table, verb, arguments, given)

    def _shown(self, name: tuple[str, str, str], given: Mapping[str, Any]) -> dict[str, Any] | None:
        """What can only be looked at here."""
        value = self._state.value
        match name:
            case ("kea", "dhcpv4", "get"):
                return {"dhcpv4": {"general": value["kea"]["general"]}}
            case ("kea", "dhcpv4", "search_subnet"):
                return page(self._subnets(), given)
            case ("kea", "leases4", "search"):
                return {**page(self._leases(), given, default=RECORD_SET_ROWS), "interfaces": {"lan": "LAN"}}
            case ("unbound", "settings", "get"):
                return {"unbound": {"general": value["unbound"]["general"]}}
            case ("dnsmasq", "settings", "get"):
                return {"dnsmasq": value.get("dnsmasq", {"enable": "0", "port": "0"})}
        return None

    def _table(self, method: str, table: Table, verb: str, arguments: list[str], given: Mapping[str, Any]) -> Answer:
        module = self._state.value[table.module]
        entries: dict[str, dict[str, str]] = module[table.entries]
        key = arguments[0] if arguments else ""
        if verb == "search":
            shown = {
                uid: {name: value for name, value in one.items() if name not in table.hidden}
                for uid, one in entries.items()
            }
            return Answer(200, page(model_rows(shown, table.labels(module), self._shape), given))
        if verb == "get":
            one = entries.get(key) if key else dict(table.empty)
            return Answer(200, {table.wrapper: expanded(one, table.labels(module))} if one is not None else [])
        if verb not in {"add", "set", "del"}:
            return NO_ENDPOINT
        if method != "POST" or (verb != "del" and not isinstance(given.get(table.wrapper), dict)):
            return Answer(200, NOT_DONE)
        if verb == "del":
            return self._delete(table, key)
        return self._write(
            table, str(uuid.uuid4()) if verb == "add" else key, given[table.wrapper], is_new=verb == "add"
        )

    def _write(self, table: Table, key: str, given: Mapping[str, Any], *, is_new: bool) -> Answer:
        value, module = self._changeable(table)
        entries = module[table.entries]
        if not is_new and key not in entries:
            return Answer(200, NOT_DONE)
        known = {name: said for name, said in given.items() if name in table.empty or name in table.hidden}
        entries[key] = {**(table.empty if is_new else entries[key]), **known}
        complaints = table.complaints(module, key, entries[key])
        if complaints:
            said = {f"{table.wrapper}.{name}": text for name, text in complaints.items()}
            return Answer(200, {**NOT_DONE, "validations": said})
        self._state.save(value)
        return Answer(200, {"result": "saved", "uuid": key})

    def _changeable(self, table: Table) -> tuple[dict[str, Any], dict[str, Any]]:
        """The state and the table's part of it, of which the table can be changed and still be given up."""
        module = dict(self._state.value[table.module])
        module[table.entries] = dict(module[table.entries])
        return {**self._state.value, table.module: module}, module

    def _delete(self, table: Table, key: str) -> Answer:
        value, module = self._changeable(table)
        if module[table.entries].pop(key, None) is None:
            return Answer(200, {"result": "not found"})
        if table.entries == "hosts":  # its aliases go with it
            module["aliases"] = {uid: one for uid, one in module["aliases"].items() if one["host"] != key}
        self._state.save(value)
        return Answer(200, {"result": "deleted"})

    def _service(self, method: str, module: str, action: str) -> Answer:
        if module == "dnsmasq" and action == "status":
            running = self._state.value.get("dnsmasq", {}).get("enable") == "1"
            return Answer(200, {"status": "running" if running else "disabled"})
        daemon = DAEMONS.get(module)
        if daemon is None:
            return NO_ENDPOINT
        if action == "status":
            enabled = self._state.value[module]["general"]["enabled"] == "1"
            running = self._services.is_running(daemon)
            return Answer(200, {"status": "running" if running else "stopped" if enabled else "disabled"})
        if action != "reconfigure":
            return NO_ENDPOINT
        if method != "POST":
            return Answer(200, {"status": "failed"})
        if self._state.value[module]["general"].get("manual_config") != "1":
            self._services.configure(daemon, daemon_files(self._state.value)[daemon])
        # "ok" whatever comes of it: the daemon is started in the background.
        self._services.tell("restart", daemon)
        return Answer(200, {"status": "ok"})

    def _subnets(self) -> list[dict[str, Any]]:
        subnets: dict[str, dict[str, Any]] = self._state.value["kea"]["subnets"]
        return [
            {"uuid": key, **{name: value for name, value in one.items() if name != "option_data"}}
            for key, one in subnets.items()
        ]

    def _leases(self) -> list[dict[str, Any]]:
        reserved = {one["ip_address"] for one in self._state.value["kea"]["reservations"].values()}
        return [
            {
                "address": lease.address,
                "hwaddr": lease.mac,
                "client_id": lease.client_id,
                "valid_lifetime": str(lease.valid_lifetime),
                "expire": lease.expire if lease.valid_lifetime != FOR_EVER else 0,
                "subnet_id": str(lease.subnet_id),
                "hostname": lease.hostname,
                "state": str(lease.state) if self._shape == "label" else lease.state,
                "if_descr": "LAN",
                "if_name": "lan",
                "is_reserved": "1" if lease.address in reserved else "0",
            }
            for lease in self._services.leases()
        ]


def _snake(name: str) -> str:
    """searchReservation and search_reservation are one action."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _given(request: Request) -> Mapping[str, Any]:
    """What came in the query and in the body; ValueError for a body that says JSON and is none."""
    given: dict[str, Any] = dict(request.query)
    if request.body and "json" in request.headers.get("content-type", ""):
        said = json.loads(request.body)
        if not isinstance(said, dict):
            raise ValueError("Syntax error")
        given.update(said)
    elif request.body:
        given.update(parse_qsl(request.body.decode()))
    return given
