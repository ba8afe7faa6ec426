"""A simulated hypervisor as a process of its own, seeded as bootstrap would leave a real one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Any

from harness.contract import Api, ApiToken, Contract, Guest, SecretRef
from harness.evidence import Evidence, Secret
from harness.privileges import ROLES
from harness.pve.client import Client, Writer, connect
from harness.wait import wait_until
from tests import sites

ROOT = Path(__file__).parent.parent
TOKENS = {"verify": "verify@pve!harness", "provision": "provision@pve!harness"}
SECRETS = {name: f"00000000-0000-4000-8000-00000000000{at}" for at, name in enumerate(TOKENS, 1)}
ACL = [
    ("/", "MgmtAudit", "verify", 1),
    ("/pool/mgmt", "MgmtProvision", "provision", 1),
    ("/storage/local-lvm", "MgmtStore", "provision", 1),
    ("/storage/local", "MgmtStore", "provision", 1),
    ("/sdn/zones/localnetwork", "MgmtBridge", "provision", 1),
    ("/nodes/hv01", "MgmtNode", "provision", 1),
    ("/", "MgmtStartup", "provision", 0),
]
TEMPLATE = {
    "name": "debian-lab-12",
    "template": "1",
    "ostype": "l26",
    "agent": "1",
    "memory": "512",
    "cores": "1",
    "boot": "order=scsi0",
    "scsihw": "virtio-scsi-pci",
    "scsi0": "local-lvm:base-9000-disk-0,size=4G",
    "net0": "virtio=BC:24:11:00:90:00,bridge=vmbr0",
    "hotplug": "disk,usb",
    "description": "lab image\nbuild: lab-image-1",
}


def seed_of(folder: Path) -> dict[str, Any]:
    for name, secret in SECRETS.items():
        file = folder / f"{name}.token"
        file.touch(0o600)  # as a file of the inventory must be
        file.write_text(secret)
    (folder / "root.password").write_text("root-password")
    return {
        "users": [
            {"userid": "root@pam", "password_file": "root.password"},
            *({"userid": f"{name}@pve"} for name in TOKENS),
        ],
        "roles": {name: privileges.split() for name, privileges in ROLES.items()},
        "tokens": [{"id": token, "secret_file": f"{name}.token", "privsep": 1} for name, token in TOKENS.items()],
        "acl": [
            {"path": path, "roles": [role], "users": [f"{name}@pve"], "tokens": [TOKENS[name]], "propagate": propagate}
            for path, role, name, propagate in ACL
        ],
        "storages": [
            {"storage": "local", "type": "dir", "path": str(folder), "content": "iso,vztmpl,backup,import,snippets"},
            {
                "storage": "local-lvm",
                "type": "lvmthin",
                "thinpool": "data",
                "vgname": "pve",
                "content": "rootdir,images",
                "total_bytes": 100 << 30,
            },
        ],
        "vms": [{"vmid": 9000, "config": TEMPLATE}],
        "pools": [{"poolid": "mgmt", "vms": [9000]}],
    }


@dataclass
class Simulated:
    """The running simulator and the way to it."""

    url: str
    fingerprint: str
    folder: Path
    process: subprocess.Popen[str]

    def control(self, **request: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(self.folder / "state" / "control.sock"))
            channel.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(channel.makefile().readline())
        assert answer["ok"], answer
        return answer["result"]

    def fault(self, **fault: Any) -> None:
        self.control(op="fault", **fault)

    def writes(self) -> int:
        return int(self.control(op="counters")["writes"])

    def calls(self) -> dict[str, int]:
        return dict(self.control(op="counters")["calls"])

    def api(self) -> Api:
        tokens = {
            name: ApiToken(token, SecretRef("file", str(self.folder / f"{name}.token")))
            for name, token in TOKENS.items()
        }
        return Api(self.url, None, self.fingerprint, tokens)

    def contract(self, *guests: Guest, deadline_s: float = 20.0) -> Contract:
        plain = sites.contract(*guests, state_dir=self.folder / "harness-state")
        return replace(plain, hypervisor=replace(plain.hypervisor, api=self.api()), guest_deadline_s=deadline_s)

    def reader(self, evidence: Evidence | None = None) -> Client:
        secret = Secret(SECRETS["verify"])
        return connect(self.api(), purpose="verify", secret=secret, evidence=evidence, read_only=True)

    def writer(self, secret: str = SECRETS["provision"]) -> Writer:
        return connect(self.api(), purpose="provision", secret=Secret(secret), read_only=False)

    def pair(self) -> tuple[Writer, Client]:
        """As a command opens them: a restart is waited for by both."""
        writer, reader = self.writer(), self.reader()
        writer.beside(reader)
        return writer, reader

    def root(self) -> Writer:
        return connect(self.api(), purpose="root", secret=Secret("root-password"), read_only=False)


@contextmanager
def simulating(
    folder: Path,
    certificate: Path,
    key: Path,
    pace: float = 0.05,
    options: Sequence[str] = (),
    *,
    is_kept: bool = False,
) -> Iterator[Simulated]:
    """`is_kept`: started again whenever it dies, and every boot of a guest is on record (tests.engine.witness)."""
    seed = folder / "seed.json"
    seed.write_text(json.dumps(seed_of(folder)))
    own = ["harness.lab.pve", "--state", str(folder / "state"), "--listen", "127.0.0.1:0"]
    argv = [sys.executable, "-m", *(["tests.engine.witness", str(folder)] if is_kept else own)]
    argv += ["--certificate", str(certificate), "--key", str(key), "--node", "hv01", "--runtime", "none"]
    argv += ["--seed", str(seed), "--bridges", "vmbr0", "--pace", str(pace), *options]
    with (folder / "simulator.log").open("w") as log:
        # Without programs of this machine: the simulated node has no packages, and asking apt for them takes seconds.
        environment = {"PATH": str(folder / "no-programs")}
        process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)
        try:
            url = _listening(folder / "state" / "port", process, folder / "simulator.log")
            fingerprint = sha256(PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
            yield Simulated(url, fingerprint, folder, process)
        finally:
            process.terminate()
            process.wait(10)


def _listening(port: Path, process: subprocess.Popen[str], log: Path) -> str:
    def look() -> tuple[str | None, str]:
        assert process.poll() is None, log.read_text()
        text = port.read_text().strip() if port.exists() else ""
        return (f"https://127.0.0.1:{text}", "") if text else (None, "no port yet")

    waited = wait_until(look, deadline_s=10, first_pause_s=0.05, longest_pause_s=0.05)
    assert waited.value is not None, log.read_text()
    return waited.value
