"""A simulated node without guests' processes, seeded with one template and two identities of little power."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.pve.served import NODE, Node, storages, template, vm

AUDIT = "11111111-0000-4000-8000-000000000001"
MAKER = "11111111-0000-4000-8000-000000000002"
MAKER_PRIVILEGES = (
    "VM.Allocate VM.Audit VM.Clone VM.Config.CPU VM.Config.Memory VM.Config.Network VM.Config.Options VM.Config.Disk "
    "VM.Monitor VM.PowerMgmt VM.Backup Pool.Audit"
)


def seed(folder: Path) -> Mapping[str, Any]:
    (folder / "audit.token").write_text(AUDIT)
    (folder / "maker.token").write_text(MAKER)
    maker = {"users": ["maker@pve"], "tokens": ["maker@pve!ci"]}
    return {
        "users": [
            {"userid": "root@pam", "password_file": "root.password"},
            {"userid": "audit@pve"},
            {"userid": "maker@pve", "password_file": "root.password"},
        ],
        "roles": {
            "Audit": ["Sys.Audit", "VM.Audit", "Datastore.Audit", "Pool.Audit", "SDN.Audit"],
            "Maker": MAKER_PRIVILEGES.split(),
            "Store": ["Datastore.AllocateSpace", "Datastore.Audit"],
            "Net": ["SDN.Use"],
        },
        "tokens": [
            {"id": "audit@pve!ro", "secret_file": "audit.token"},
            {"id": "maker@pve!ci", "secret_file": "maker.token"},
        ],
        "acl": [
            {"path": "/", "roles": ["Audit"], "users": ["audit@pve"], "tokens": ["audit@pve!ro"]},
            {"path": "/pool/mgmt", "roles": ["Maker"], **maker},
            {"path": "/storage/local-lvm", "roles": ["Store"], **maker},
            {"path": "/storage/local", "roles": ["Store"], **maker},
            {"path": "/sdn/zones/localnetwork", "roles": ["Net"], **maker},
        ],
        "storages": storages(folder),
        "vms": [
            template(9000, "debian", disk="local-lvm:base-9000-disk-0,size=4G", description="build: lab-image-1"),
            vm(200, "alone", disk="local-lvm:vm-200-disk-0,size=1G"),
        ],
        "pools": [{"poolid": "mgmt", "comment": "management", "vms": [9000]}],
    }


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """root@pam logged in; `audit` and `maker` are tokens with separated privileges."""
    yield from _served(Node(tmp_path, seed(tmp_path)))


@pytest.fixture
def scripted_node(tmp_path: Path) -> Iterator[Node]:
    """The same with guests that come up after a while; 200 has no system and is deaf."""
    yield from _served(Node(tmp_path, seed(tmp_path), script="200"))


@pytest.fixture
def node_with_disks(tmp_path: Path) -> Iterator[Node]:
    """The same with disks that have content; its guests stay off. VM 130 is a linked clone in the pool."""
    if os.geteuid() != 0:
        pytest.skip("disks of guests keep owners and device nodes: run the tests as root")
    for node in _served(Node(tmp_path, seed(tmp_path), has_disks=True)):
        assert node.run("POST", f"{NODE}/qemu/9000/clone", {"newid": 130, "name": "c130", "pool": "mgmt"}) == "OK"
        (node.disk(130) / "notes").write_text("as it was")
        yield node


def _served(node: Node) -> Iterator[Node]:
    node.start()
    try:
        node.login()
        node.use_token("audit", "audit@pve!ro", AUDIT)
        node.use_token("maker", "maker@pve!ci", MAKER)
        yield node
    finally:
        node.stop()
