"""Change the lab's router through its own API, as somebody at its pages or command line would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from harness import lab
from harness.lab.spec import LabRouterApi


def _api() -> LabRouterApi:
    router = lab.status().router
    assert router is not None
    assert router.api is not None
    return router.api


def _send(path: str, **said: Any) -> Any:
    session = requests.Session()
    session.trust_env = False
    answer = session.request("POST", f"{_api().url}{path}", verify=_api().ca_file, timeout=60, **said)
    assert answer.ok, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


def opnsense(path: str, body: Mapping[str, Any] | None = None) -> Any:
    """One action; what it changes must have been done."""
    secret = Path(_api().secret_file or "").read_text().strip()
    said = _send(f"/api/{path}", json=body or {}, auth=(Path(_api().key_file).read_text().strip(), secret))
    assert said.get("result") != "failed", f"{path}: {said}"
    return said


def uuid_of(table: str, **like: str) -> str:
    """The entry of one of OPNsense's tables that has these values."""
    rows = opnsense(table)["rows"]
    return str(next(row["uuid"] for row in rows if all(row[name] == value for name, value in like.items())))


def vyos(*commands: str) -> None:
    """One commit at VyOS's command line; each command is `set …` or `delete …`."""
    data = json.dumps([{"op": words[0], "path": words[1:]} for words in (command.split() for command in commands)])
    said = _send("/configure", data={"key": Path(_api().key_file).read_text().strip(), "data": data})
    assert said["success"], said
