"""VyOS's HTTP API as far as DHCP and DNS go: a list of commands is one commit, all of it or none, and unsaved."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from .seed import Seed
from .server import Answer, Request
from .services import FOR_EVER, KEA, UNBOUND, Services
from .state import StateFile
from .vyos_commit import check, daemon_files, first_tree
from .vyos_tree import (
    ConfigError,
    Release,
    Tree,
    as_json,
    copied,
    delete_path,
    find,
    lines,
    require_valid,
    set_path,
)

VERSIONS: Mapping[Release, str] = {"1.4": "VyOS 1.4.0", "1.5": "VyOS 1.5-rolling-202410210007"}
LEASE_COLUMNS = (
    *("IP Address", "MAC address", "State", "Lease start", "Lease expiration", "Remaining", "Pool", "Hostname"),
    "Origin",
)
# The path of a lock: while the file is there, somebody commits at the command line.
COMMITTING = "committing"
ENDPOINTS = {"/retrieve", "/configure", "/config-file", "/show"}


def first_state(seed: Seed, release: Release) -> dict[str, Any]:
    tree = first_tree(seed, release)
    return {"running": tree, "saved": tree}


class Vyos:
    """One configuration session for everybody: calls wait for one another."""

    def __init__(self, state: StateFile, services: Services, key: str, release: Release, seed: Seed) -> None:
        self._state, self._services, self._key, self._release, self._seed = state, services, key, release, seed
        self._start()

    def _start(self) -> None:
        """What was not saved does not outlive the reboot."""
        saved = self._state.value["saved"]
        if saved != self._state.value["running"]:
            self._activate(self._state.value["running"], saved)

    def __call__(self, request: Request) -> Answer:
        if request.path not in ENDPOINTS or request.method != "POST":
            is_known = request.path in ENDPOINTS
            return Answer(405 if is_known else 404, {"detail": "Method Not Allowed" if is_known else "Not Found"})
        fields = parse_qs(request.body.decode("utf-8", "replace"))
        if not fields.get("data"):
            return _failed(422, "Non-empty data field is required")
        try:
            said = json.loads(fields["data"][0])
        except ValueError as error:
            return _failed(400, f"Failed to parse JSON: {error}")
        if not hmac.compare_digest(fields.get("key", [""])[0], self._key):
            return _failed(401, "Valid API key is required")
        with self._state.lock:
            try:
                return _done(self._answer(request.path, said))
            except ConfigError as error:
                return _failed(400, str(error))

    def _answer(self, path: str, said: Any) -> Any:
        commands = said if isinstance(said, list) else [said]
        for command in commands:
            _require_command(command, needs_path=path != "/config-file")
        if path == "/configure":
            return self._configure(commands)
        command = commands[0]
        if path == "/retrieve":
            return self._retrieve(command["op"], command["path"])
        if path == "/show":
            return self._show(command["path"])
        return self._config_file(command["op"])

    def _configure(self, commands: Sequence[Mapping[str, Any]]) -> None:
        if (self._state.path.parent / COMMITTING).exists():
            raise ConfigError("Configuration system temporarily locked due to another commit in progress\n")
        session = copied(self._state.value["running"])
        for command in commands:
            words = [*command["path"], *([command["value"]] if command.get("value") else [])]
            if command["op"] == "set":
                require_valid(words, self._release)
                set_path(session, words)
            elif command["op"] == "delete":
                delete_path(session, words)
            elif command["op"] != "comment":
                raise ConfigError(f"'{command['op']}' is not a valid operation")
        try:
            check(session, self._release)
        except ConfigError as error:
            raise ConfigError(f"[[service dhcp-server]] failed\n{error}\nCommit failed\n") from error
        self._activate(self._state.value["running"], session)

    def _activate(self, before: Tree, session: Tree) -> None:
        """Give the daemons what changed; the names are read again without a pause."""
        old, new = daemon_files(before, self._seed), daemon_files(session, self._seed)
        for daemon, verb in ((KEA, "restart"), (UNBOUND, "reload")):
            if old[daemon] != new[daemon]:
                self._services.configure(daemon, new[daemon])
                self._services.tell(verb, daemon)
        self._state.save({**self._state.value, "running": session})

    def _config_file(self, op: str) -> str:
        if op != "save":
            raise ConfigError(f"'{op}' is not a valid operation")
        self._state.save({**self._state.value, "saved": self._state.value["running"]})
        return "Saving configuration to '/config/config.boot'...\nDone\n"

    def _retrieve(self, op: str, path: Sequence[str]) -> Any:
        node = find(self._state.value["running"], path)
        if op == "exists":
            return node is not None
        if op == "showConfig":
            if not node:
                raise ConfigError("Configuration under specified path is empty\n")
            return as_json(node)
        if op in {"returnValue", "returnValues"}:
            if not node:
                raise ConfigError(f"Configuration path: [{' '.join(path)}] does not exist\n")
            return list(node) if op == "returnValues" else next(iter(node))
        raise ConfigError(f"'{op}' is not a valid operation")

    def _show(self, path: Sequence[str]) -> str:
        match list(path):
            case ["version"]:
                return (
                    f"Version:          {VERSIONS[self._release]}\nRelease train:    sagitta\n\nBuilt by:         lab\n"
                )
            case ["dhcp", "server", "leases"]:
                return self._leases()
            case ["configuration", "commands"]:
                running = self._state.value["running"]
                return "".join(f"set {' '.join(line)}\n" for line in lines(running))
        raise ConfigError(f"Invalid command: [{' '.join(path)}]\n")

    def _leases(self) -> str:
        now = int(time.time())
        rows = [LEASE_COLUMNS]
        for lease in self._services.leases():
            if lease.state == 0 and lease.expire > now:
                for_ever = lease.valid_lifetime == FOR_EVER
                rows.append(
                    (
                        *(lease.address, lease.mac, "active", _clock(lease.expire - lease.valid_lifetime)),
                        *("-" if for_ever else _clock(lease.expire),),
                        *("-" if for_ever else str(timedelta(seconds=lease.expire - now)), "LAB"),
                        *(lease.hostname, "local"),
                    )
                )
        return _table(rows)


def _require_command(command: Any, *, needs_path: bool) -> None:
    said = json.dumps(command)
    if not isinstance(command, dict) or "op" not in command:
        raise ConfigError(f"Malformed command '{said}': missing 'op' field")
    if needs_path and "path" not in command:
        raise ConfigError(f"Malformed command '{said}': missing 'path' field")
    if needs_path and not isinstance(command["path"], list):
        raise ConfigError(f"Malformed command '{said}': 'path' field must be a list")


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    texts = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in ruled)
    return "".join(f"{text}\n" for text in texts)


def _clock(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y/%m/%d %H:%M:%S")


def _done(data: Any) -> Answer:
    return Answer(200, {"success": True, "data": data, "error": None})


def _failed(status: int, error: str) -> Answer:
    return Answer(status, {"success": False, "error": error, "data": None})
