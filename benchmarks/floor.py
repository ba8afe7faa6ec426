"""The floor: ask everything a site's facts need, or make its VMs, with the fewest calls and nothing else.

A script as somebody would write it in an afternoon: the standard library, one plan of what to ask (floor_plan.py), no
checks, no evidence, no second try. `python -I floor.py PLAN verify|provision`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import queue
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

IN_FLIGHT = 3  # as many as pveproxy has workers
PATIENCE_S = 120.0
POLL_S = 0.05
NOT_YET = threading.Event()  # never set: a pause between two looks


class Api:
    """Connections that stay, each used by one thread at a time."""

    def __init__(self, plan: dict[str, Any], token: str) -> None:
        where = urllib.parse.urlsplit(plan["url"])
        self._address = (str(where.hostname), int(where.port or 8006))
        self._pin = plan["fingerprint"]
        self._headers = {"Authorization": f"PVEAPIToken={plan['tokens'][token]}"}
        self._context = ssl.create_default_context(cafile=plan["ca_file"])
        if self._pin:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._idle: queue.LifoQueue[http.client.HTTPSConnection | None] = queue.LifoQueue()
        for _ in range(IN_FLIGHT):
            self._idle.put(None)

    def call(self, method: str, path: str, parameters: dict[str, Any] | None = None) -> Any:
        connection = self._idle.get()
        try:
            connection = connection or self._connect()
            body = urllib.parse.urlencode(parameters) if parameters is not None else None
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else {}
            connection.request(method, f"/api2/json{path}", body, self._headers | headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != http.HTTPStatus.OK:
                connection = None
                raise RuntimeError(f"{method} {path}: {answer.status} {answer.reason}")
            return json.loads(text)["data"]
        finally:
            self._idle.put(connection)

    def finish(self, upid: str) -> None:
        """Wait for the end of a task."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            status = self.call("GET", f"/nodes/{upid.split(':')[1]}/tasks/{upid}/status")
            if status["status"] == "stopped":
                if status["exitstatus"] != "OK":
                    raise RuntimeError(f"{upid}: {status['exitstatus']}")
                return
            NOT_YET.wait(POLL_S)
        raise RuntimeError(f"{upid} does not end")

    def _connect(self) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(*self._address, context=self._context, timeout=30)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        shown = connection.sock.getpeercert(binary_form=True) or b""
        if self._pin and hashlib.sha256(shown).hexdigest() != self._pin:
            raise RuntimeError("another certificate than the pinned one")
        return connection


def main(plan: dict[str, Any], work: str) -> None:
    if work == "verify":
        print(verify(plan))
    else:
        provision(plan)


def verify(plan: dict[str, Any]) -> int:
    """How many answers there were."""
    api = Api(plan["api"], "verify")
    with ThreadPoolExecutor(64) as pool, ThreadPoolExecutor(IN_FLIGHT) as few:
        hosts = [pool.submit(ask_host, argv, script) for argv, script in plan["hosts"]]
        wire = [pool.submit(look, *question) for question in plan["wire"]]
        calls = [few.submit(api.call, "GET", path) for path in plan["paths"]]
        logs = few.submit(read_backup_logs, api, plan).result()
        done: list[Future[Any]] = [*hosts, *wire, *calls]
        return len([one.result() for one in done]) + len(logs)


def read_backup_logs(api: Api, plan: dict[str, Any]) -> list[Any]:
    """The log of each VM's last backup task; they are named only once the node has told of them."""
    tasks = api.call("GET", f"/nodes/{plan['node']}/tasks?typefilter=vzdump&limit={plan['backups']}")
    return [api.call("GET", f"/nodes/{plan['node']}/tasks/{upid}/log?limit=0") for upid in last_backups(tasks)]


def last_backups(tasks: Sequence[dict[str, Any]]) -> list[str]:
    """Newest first; a task without an ID backed up several VMs, and what came before it is not needed."""
    found: dict[str, str] = {}
    for task in tasks:
        found.setdefault(str(task["id"]), str(task["upid"]))
        if not task["id"]:
            break
    return list(found.values())


def ask_host(argv: Sequence[str], script: str) -> str:
    done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    if not done.stdout.rstrip().endswith("floor-end"):
        raise RuntimeError(f"{argv[-1]}: {done.stderr.strip()}")
    return done.stdout


def look(kind: str, address: str, port: int, sent: str) -> bytes:
    """A DNS question, a connection with what is said on it first, or a health address."""
    if kind == "dns":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.sendto(bytes.fromhex(sent), (address, port))
            return asking.recv(4096)
    if kind == "http":
        host, _, path = sent.partition("/")
        connection = http.client.HTTPConnection(address, port, timeout=5)
        connection.request("GET", f"/{path}", headers={"Host": host})
        return str(connection.getresponse().status).encode()
    with socket.create_connection((address, port), timeout=5) as connected:
        return connected.recv(256) if kind == "banner" else b""


def provision(plan: dict[str, Any]) -> None:
    """Every VM at once, each by the calls it cannot do without; then one task that backs all of them up."""
    api = Api(plan["api"], "provision")
    with ThreadPoolExecutor(len(plan["guests"])) as pool:
        for done in [pool.submit(make_guest, api, plan["node"], guest) for guest in plan["guests"]]:
            done.result()
    backup = {**plan["backup"], "vmid": ",".join(str(guest["vmid"]) for guest in plan["guests"])}
    if plan["backup"]["storage"]:
        api.finish(api.call("POST", f"/nodes/{plan['node']}/vzdump", backup))


def make_guest(api: Api, node: str, guest: dict[str, Any]) -> None:
    vm = f"/nodes/{node}/qemu/{guest['vmid']}"
    api.finish(api.call("POST", f"/nodes/{node}/qemu/{guest['template']}/clone", guest["clone"]))
    api.call("PUT", f"{vm}/config", guest["config"])
    api.finish(api.call("POST", f"{vm}/status/start", {}))
    until(lambda: answers_ssh(guest["address"]), guest["address"])
    said = ask_host(guest["ssh"], guest["identity"])
    if not re.search(r"^mgmt-harness done=yes$", said, re.M):
        raise RuntimeError(f"{guest['address']}: {said[-200:]}")
    api.call("PUT", f"{vm}/config", guest["finish"])


def answers_ssh(address: str) -> bool:
    try:
        return look("banner", address, 22, "").startswith(b"SSH-")
    except OSError:
        return False


def until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} does not answer")
        NOT_YET.wait(POLL_S)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
