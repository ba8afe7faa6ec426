"""Change the lab's hypervisor through PVE's API as its administrator, as somebody in the web UI would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests

from harness import lab
from harness.wait import wait_until


def as_root(method: str, path: str, /, **form: str | list[str]) -> Any:
    """One call of PVE's API as its administrator, as somebody in the web UI would make it."""
    api = lab.status().api
    assert api is not None
    session = requests.Session()
    session.verify = api.ca_file
    session.trust_env = False
    login = {"username": api.root_user, "password": Path(api.root_password_file).read_text().strip()}
    ticket = session.post(f"{api.url}/api2/json/access/ticket", data=login, timeout=30).json()["data"]
    session.headers["Cookie"] = f"PVEAuthCookie={ticket['ticket']}"
    session.headers["CSRFPreventionToken"] = ticket["CSRFPreventionToken"]
    answer = session.request(method, f"{api.url}/api2/json{path}", data=form or None, timeout=60)
    assert answer.ok, f"{method} {path}: {answer.status_code} {answer.reason}"
    return answer.json()["data"]


def finish_task(upid: str) -> None:
    ended = end_of_task(upid)
    assert ended == "OK", f"{upid}: {ended}"


def end_of_task(upid: str) -> str:
    """How the task ended, once it has."""

    def look() -> tuple[str | None, str]:
        status = as_root("GET", f"/nodes/hv01/tasks/{upid}/status")
        return status.get("exitstatus"), status["status"]

    waited = wait_until(look, deadline_s=30)
    assert waited.value is not None, f"{upid} still runs"
    return waited.value


def destroy(vmid: int) -> None:
    """Take a protected, running VM away for good."""
    vm = f"/nodes/hv01/qemu/{vmid}"
    as_root("PUT", f"{vm}/config", protection="0")
    finish_task(as_root("POST", f"{vm}/status/stop"))
    finish_task(as_root("DELETE", vm))


def vmids() -> set[int]:
    return {vm["vmid"] for vm in as_root("GET", "/nodes/hv01/qemu")}
