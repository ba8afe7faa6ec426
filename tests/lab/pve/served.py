"""Start the simulator as a process of its own and talk to it as anybody would: HTTP over TLS."""

from __future__ import annotations

import functools
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.wait import wait_until

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "root-passwor"
NODE = "/nodes/hv01"


@dataclass(frozen=True)
class Reply:
    """An answer as it came: `data` is None where the body is no JSON."""

    status: int
    reason: str
    headers: Mapping[str, str]
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text) if self.text.startswith("{") else self.text

    @property
    def data(self) -> Any:
        return self.body["data"]


@functools.cache
def _certificate() -> tuple[bytes, bytes]:
    """One pair for all nodes of a test run."""
    with tempfile.TemporaryDirectory() as folder:
        _make_certificate(Path(folder))
        return (Path(folder) / "key.pem").read_bytes(), (Path(folder) / "cert.pem").read_bytes()


def _make_certificate(folder: Path) -> None:
    """A self-signed pair for 127.0.0.1."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]
    command += ["/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN=hv01.example.test"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:hv01"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)


@dataclass
class Node:
    """One simulated node: its process, and how to ask it."""

    folder: Path
    seed: Mapping[str, Any]
    pace: float = 0.05
    script: str | None = None  # deaf VMIDs of scripted guests; None: guests without processes
    has_disks: bool = False  # guests have disks in folders; none is ever started
    process: subprocess.Popen[str] | None = None
    credentials: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def start(self) -> Node:
        for name, content in zip(("key.pem", "cert.pem"), _certificate(), strict=True):
            (self.folder / name).write_bytes(content)
        (self.folder / "root.password").write_text(PASSWORD)
        (self.folder / "seed.json").write_text(json.dumps(self.seed))
        (self.folder / "state/port").unlink(missing_ok=True)
        self.process = subprocess.Popen(self._command(), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        waited = wait_until(self._look, deadline_s=30, first_pause_s=0.05)
        assert waited.value is not None, f"the simulator did not start: {waited.last_seen}"
        return self

    def _command(self) -> list[str]:
        own = ["--state", "state", "--certificate", "cert.pem", "--key", "key.pem", "--seed", "seed.json"]
        paths = [str(self.folder / part) if "." in part or part == "state" else part for part in own]
        options = [*paths, "--listen", "127.0.0.1:0", "--node", "hv01", "--bridges", "vmbr0"]
        options += ["--interfaces", str(self.folder / "interfaces"), "--address", "198.18.99.21", "--ca"]
        options += [str(self.folder / "cert.pem")]
        if self.has_disks:
            self._make_image()
            options += ["--runtime", "namespaces", "--runtime-dir", str(self.folder / "guests")]
            options += ["--guest-image", str(self.folder / "image")]
        if self.script is None:
            return [sys.executable, "-m", "harness.lab.pve", *options, "--pace", str(self.pace)]
        own_options = [str(self.pace), self.script, str(self.folder)]
        return [sys.executable, "-m", "tests.lab.pve.scripted", *own_options, *options]

    def _make_image(self) -> None:
        """What a clone of the template stands on."""
        (self.folder / "guests").mkdir(exist_ok=True)
        (self.folder / "image").mkdir(exist_ok=True)
        (self.folder / "image/layers").write_text("/image/content:/image/rootfs")

    def disk(self, vmid: int) -> Path:
        """The folder of what a guest wrote to its disk."""
        return self.folder / "guests" / str(vmid) / "upper"

    def _look(self) -> tuple[int | None, str]:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the simulator ended with {self.process.returncode}")
        port = self.folder / "state/port"
        text = port.read_text() if port.exists() else ""
        return (int(text), text) if text.endswith("\n") else (None, "no port")

    @property
    def port(self) -> int:
        return int((self.folder / "state/port").read_text())

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(10)
            if self.process.stdout is not None:
                self.process.stdout.close()

    # -- asking ---------------------------------------------------------------------------------------------------
    def raw(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Reply:
        """One request on a connection of its own; OSError when there is no answer."""
        context = ssl.create_default_context(cafile=str(self.folder / "cert.pem"))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=context)
        try:
            connection.putrequest(method, target)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            text = answer.read().decode()
            return Reply(answer.status, answer.reason, dict(answer.getheaders()), text)
        finally:
            connection.close()

    def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        user: str | None = "root@pam",
        encoding: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """A call with a form (GET, DELETE: query) as the given user or token."""
        sent = {**(self.credentials.get(user, {}) if user else {}), **(headers or {})}
        encoding = encoding or ("query" if method in {"GET", "DELETE"} else "form")
        target, body = f"/api2/json{urllib.parse.quote(path, safe='/:@!?=&%')}", None
        if params and encoding == "query":
            target += ("&" if "?" in target else "?") + urllib.parse.urlencode(params, doseq=True)
        elif params and encoding == "json":
            sent["Content-Type"], body = "application/json", json.dumps(params).encode()
        elif params:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
            body = urllib.parse.urlencode(params, doseq=True).encode()
        return self.raw(method, target, headers=sent, body=body)

    def read(self, path: str, params: Mapping[str, Any] | None = None, *, user: str = "root@pam") -> Any:
        """The data of a GET that succeeds."""
        reply = self.ask("GET", path, params, user=user)
        assert reply.status == 200, (path, reply.status, reply.reason)
        return reply.data

    def login(self, user: str = "root@pam", password: str = PASSWORD) -> Reply:
        """Get a ticket and keep it under the user's name."""
        reply = self.ask("POST", "/access/ticket", {"username": user, "password": password}, user=None)
        if reply.status == 200:
            ticket = urllib.parse.quote(reply.data["ticket"], safe="")
            csrf = reply.data["CSRFPreventionToken"]
            self.credentials[user] = {"Cookie": f"PVEAuthCookie={ticket}", "CSRFPreventionToken": csrf}
        return reply

    def use_token(self, name: str, tokenid: str, secret: str) -> None:
        self.credentials[name] = {"Authorization": f"PVEAPIToken={tokenid}={secret}"}

    def control(self, **request: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "state/control.sock"))
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(connection.makefile("rb").readline())
        assert answer["ok"], answer
        return answer["result"]

    def ended(self, upid: str, *, user: str = "root@pam") -> str:
        """The exit status of a task, waited for."""

        def look() -> tuple[str | None, str]:
            status = self.ask("GET", f"{NODE}/tasks/{upid}/status", user=user).data
            return status.get("exitstatus"), str(status)

        waited = wait_until(look, deadline_s=30, first_pause_s=0.02, longest_pause_s=0.1)
        assert waited.value is not None, waited.last_seen
        return waited.value

    def run(self, method: str, path: str, params: Mapping[str, Any] | None = None) -> str:
        """The exit status of the task the call starts."""
        reply = self.ask(method, path, params)
        assert reply.status == 200, (reply.status, reply.text)
        return self.ended(reply.data)


def vm(vmid: int, name: str, *, disk: str | None = None, **keys: str) -> dict[str, Any]:
    """A VM for a seed: a small Linux with one disk on `local` and one NIC."""
    disk = f"local:{vmid}/vm-{vmid}-disk-0.qcow2,size=160M" if disk is None else disk
    config = {
        "name": name,
        "scsi0": disk,
        "net0": f"virtio=BC:24:11:00:00:{vmid % 100:02d},bridge=vmbr0",
        "memory": "256",
        "cores": "1",
        "agent": "1",
        "serial0": "socket",
        "ostype": "l26",
        "scsihw": "virtio-scsi-pci",
        "boot": "order=scsi0",
        "smbios1": f"uuid=00000000-0000-4000-8000-{vmid:012d}",
        "vmgenid": f"00000000-0000-4000-9000-{vmid:012d}",
        "meta": "creation-qemu=9.2.0,ctime=1700000000",
    }
    return {"vmid": vmid, "config": {key: value for key, value in (config | keys).items() if value}}


def template(vmid: int, name: str, *, size: str = "160M", disk: str | None = None, **keys: str) -> dict[str, Any]:
    disk = f"local:{vmid}/base-{vmid}-disk-0.qcow2,size={size}" if disk is None else disk
    return vm(vmid, name, disk=disk, template="1", **keys)


def storages(folder: Path) -> Sequence[Mapping[str, Any]]:
    """`local` and `data` as directories, `local-lvm` as a thin pool."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "vz").mkdir(exist_ok=True)
    content = "rootdir,iso,vztmpl,import,backup,snippets,images"
    thin = {"thinpool": "data", "vgname": "pve", "content": "rootdir,images", "total_bytes": 40 * 2**30}
    return [
        {"storage": "local", "type": "dir", "path": str(folder / "vz"), "content": content},
        {"storage": "local-lvm", "type": "lvmthin", **thin},
        {
            "storage": "data",
            "type": "dir",
            "path": str(folder / "data"),
            "content": "images,iso,backup,snippets,import",
        },
    ]
