"""What is read becomes values, and a list is only believed with the privilege to see it whole."""

from __future__ import annotations

import dataclasses

import pytest

from harness.errors import Refused
from harness.pve import read
from harness.pve.client import Client, connect
from harness.pve.errors import BadParameters
from harness.pve.parallel import in_flight
from tests.pve.served import SECRET, TOKEN_ID, Answer, Served

AUDIT = dict.fromkeys(("Sys.Audit", "VM.Audit", "Datastore.Audit", "Pool.Audit", "SDN.Audit"), 1)
AUDITOR = dict.fromkeys(("/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"), AUDIT)
POOLED = {
    "/pool/mgmt": {"VM.Audit": 1, "VM.Clone": 1},
    "/vms/101": {"VM.Audit": 0},
    "/storage/local": {"Datastore.Audit": 1},
}
# Excerpts of a real 8.4.1 node's answers.
WEB01 = {
    "scsi0": "local:100/vm-100-disk-0.qcow2,size=160M",
    "tags": "lab;web",
    "description": "first line\nsecond line",
    "cores": 1,
    "net0": "virtio=02:DE:01:01:01:01,bridge=vmbr0",
    "name": "web01",
    "onboot": 1,
    "digest": "a87f0190fa0b8e4428cc2d051389735edf44eb40",
    "agent": "1",
    "memory": "256",
    "startup": "order=3,up=20",
}
TEMPLATE = {"name": "tmpl", "template": 1, "scsi0": "local:101/base-101-disk-0.qcow2,size=160M", "memory": "256"}
STATUS = {
    "cpuinfo": {"hvm": "1", "model": "Intel(R) Core(TM) i7-6700T", "cores": 4, "cpus": 8, "sockets": 1},
    "current-kernel": {"machine": "x86_64", "sysname": "Linux", "release": "6.8.12-9-pve"},
    "pveversion": "pve-manager/8.4.1/2a5fa54a8503f96d",
    "memory": {"total": 25276510208, "used": 2465263616, "free": 21020893184},
}


def client_of(served: Served, permissions: dict[str, dict[str, int]]) -> Client:
    served.say("GET /access/permissions", Answer(permissions))
    return connect(served.api(), purpose="verify", secret=SECRET, read_only=True)


def serve_guests(served: Served) -> None:
    entries = [
        {"vmid": 101, "name": "tmpl", "status": "stopped", "template": 1, "tags": "template"},
        {"vmid": 100, "name": "web01", "status": "running", "tags": "lab;web"},
    ]
    served.say("GET /nodes/hv01/qemu", Answer(entries))
    served.say("GET /nodes/hv01/qemu/100/config", Answer(WEB01))
    served.say("GET /nodes/hv01/qemu/101/config", Answer(TEMPLATE))


def test_reads_the_guests_by_number(served: Served) -> None:
    serve_guests(served)
    web, template = read.read_guests(client_of(served, AUDITOR), "hv01")
    assert (web.vmid, web.name, web.status, web.template) == (100, "web01", "running", False)
    assert web.tags == {"lab", "web"}
    assert web.description == "first line\nsecond line"
    assert (web.nics["net0"].mac, web.nics["net0"].bridge) == ("02:DE:01:01:01:01", "vmbr0")
    assert (web.memory_mib, web.cores, web.onboot, web.protection, web.agent) == (256, 1, True, False, True)
    assert (web.start_order, web.start_delay_s) == (3, 20)
    assert web.disks == {"scsi0": "local:100/vm-100-disk-0.qcow2,size=160M"}
    assert web.source == "GET /nodes/hv01/qemu/100/config"
    assert (template.vmid, template.template, template.onboot, template.start_order) == (101, True, False, None)


# What a real 8.4.1 node said of one VM with changes that wait, cut to the keys that tell something.
ROWS = [
    {"key": "digest", "value": "9ef9babac8367acffb53476f3e64fbca7ad71dfe"},
    {"key": "serial0", "value": "socket", "delete": 1},
    {"key": "memory", "value": "256"},
    {"value": 1, "key": "cores", "pending": 2},
    {
        "key": "net0",
        "value": "virtio=02:DE:01:02:03:04,bridge=vmbr0",
        "pending": "virtio=02:DE:01:02:03:06,bridge=vmbr0",
    },
    {"key": "net1", "pending": "virtio=02:DE:01:02:03:07,bridge=vmbr0"},
]


def test_one_question_gives_the_configuration_and_what_waits_for_a_restart(served: Served) -> None:
    serve_guests(served)
    served.say("GET /nodes/hv01/qemu/100/pending", Answer(ROWS))
    web, template = read.read_guests(client_of(served, AUDITOR), "hv01", waiting={100})
    assert web.config == {
        "digest": "9ef9babac8367acffb53476f3e64fbca7ad71dfe",
        "memory": "256",
        "cores": 2,
        "net0": "virtio=02:DE:01:02:03:06,bridge=vmbr0",
        "net1": "virtio=02:DE:01:02:03:07,bridge=vmbr0",
    }
    assert (web.cores, web.digest, web.status) == (2, "9ef9babac8367acffb53476f3e64fbca7ad71dfe", "running")
    assert web.source == "GET /nodes/hv01/qemu/100/pending"
    assert web.pending["net0"]["value"] == "virtio=02:DE:01:02:03:04,bridge=vmbr0"
    assert (template.source, template.pending) == ("GET /nodes/hv01/qemu/101/config", {})
    assert served.times("GET /nodes/hv01/qemu/100/config") == 0


def test_a_vm_that_vanishes_between_list_and_look_is_gone(served: Served) -> None:
    serve_guests(served)
    words = "Configuration file 'nodes/hv01/qemu-server/100.conf' does not exist"
    served.say("GET /nodes/hv01/qemu/100/config", Answer(status=500, reason=words))
    assert [vm.vmid for vm in read.read_guests(client_of(served, AUDITOR), "hv01")] == [101]


def test_an_empty_list_without_the_privilege_is_refused(served: Served) -> None:
    served.say("GET /nodes/hv01/qemu", Answer([]))
    served.say("GET /nodes/hv01/storage", Answer([]))
    served.say("GET /nodes/hv01/network", Answer([]))
    served.say("GET /nodes/hv01/lxc", Answer([]))
    nobody = client_of(served, {})
    looks = (
        ("VM.Audit on /vms", lambda: read.read_guests(nobody, "hv01")),
        ("VM.Audit on /vms", lambda: read.read_containers(nobody, "hv01")),
        ("Datastore.Audit on /storage", lambda: read.read_storages(nobody, "hv01")),
        ("SDN.Audit on /sdn/zones/localnetwork", lambda: read.read_bridges(nobody, "hv01")),
        ("Sys.Audit on /", lambda: read.read_cluster(nobody)),
    )
    for words, look in looks:
        with pytest.raises(Refused) as caught:
            look()
        assert f"{TOKEN_ID} lacks {words}" in str(caught.value)
    assert all(asked.path.startswith("/access/") for asked in served.asked), "a list was asked for"


def test_a_pools_token_sees_its_pool_and_claims_no_more(served: Served) -> None:
    serve_guests(served)
    client = client_of(served, POOLED)
    assert len(read.read_guests(client, "hv01", pool="mgmt")) == 2
    assert not read.sees_all_guests(client)
    for other in (None, "other"):
        with pytest.raises(Refused):
            read.read_guests(client, "hv01", pool=other)


@pytest.mark.parametrize(
    ("path", "privilege", "expected"),
    [
        ("/pool/mgmt", "VM.Clone", True),
        ("/pool/mgmt", "VM.Allocate", False),
        ("/vms/101", "VM.Audit", True),
        ("/vms/101", "VM.Clone", False),
        ("/vms/102", "VM.Audit", False),
        ("/storage/local", "Datastore.Audit", True),
        ("/storage/local-lvm", "Datastore.Audit", False),
        ("/pool/mgmt/inner", "VM.Clone", True),
        ("/", "Sys.Audit", False),
    ],
)
def test_the_nearest_entry_above_decides(served: Served, path: str, privilege: str, expected: bool) -> None:
    assert read.read_permissions(client_of(served, POOLED)).has(path, privilege) is expected


def test_what_does_not_propagate_ends_at_its_path(served: Served) -> None:
    """Sys.Modify on / for the start order only."""
    permissions = read.read_permissions(client_of(served, {"/": {"Sys.Modify": 0, "Sys.Audit": 1}}))
    assert permissions.has("/", "Sys.Modify")
    assert not permissions.has("/nodes/hv01", "Sys.Modify")
    assert permissions.has("/nodes/hv01", "Sys.Audit")


def test_reads_the_node(served: Served) -> None:
    served.say("GET /nodes/hv01/status", Answer(STATUS))
    client = client_of(served, AUDITOR)
    node = read.read_node(client, "hv01")
    assert (node.pve_version, node.kernel, node.memory_bytes) == ("8.4.1", "6.8.12-9-pve", 25276510208)
    assert (node.cpu_sockets, node.cpu_cores, node.cpu_threads, node.hvm) == (1, 4, 8, True)
    assert served.times("GET /nodes/hv01/status") == 1


def test_without_vt_x_hvm_is_an_empty_text(served: Served) -> None:
    served.say("GET /nodes/hv01/status", Answer(STATUS | {"cpuinfo": STATUS["cpuinfo"] | {"hvm": ""}}))  # type: ignore[operator]
    assert not read.read_node(client_of(served, AUDITOR), "hv01").hvm


def test_reads_a_node_that_stands_alone(served: Served) -> None:
    entry = {"id": "node/hv01", "type": "node", "level": "", "online": 1, "nodeid": 0, "name": "hv01", "local": 1}
    served.say("GET /cluster/status", Answer([entry]))
    for path in ("/cluster/ha/resources", "/cluster/ha/groups", "/cluster/replication"):
        served.say(f"GET {path}", Answer([]))
    cluster = read.read_cluster(client_of(served, AUDITOR))
    assert dataclasses.astuple(cluster)[:5] == (("hv01",), None, (), (), ())


def test_reads_a_cluster(served: Served) -> None:
    entries = [
        {"type": "cluster", "name": "dc", "nodes": 2},
        {"type": "node", "name": "a"},
        {"type": "node", "name": "b"},
    ]
    served.say("GET /cluster/status", Answer(entries))
    served.say("GET /cluster/ha/resources", Answer([{"sid": "vm:100"}]))
    served.say("GET /cluster/ha/groups", Answer([{"group": "g"}]))
    served.say("GET /cluster/replication", Answer([{"id": "100-0"}]))
    cluster = read.read_cluster(client_of(served, AUDITOR))
    assert (cluster.nodes, cluster.cluster_name) == (("a", "b"), "dc")
    assert (cluster.ha_resources, cluster.ha_groups, cluster.replication_jobs) == (("vm:100",), ("g",), ("100-0",))


def test_reads_storages(served: Served) -> None:
    entries = [
        {
            "storage": "local-lvm",
            "type": "lvmthin",
            "content": "images,rootdir",
            "total": 42949672960,
            "avail": 1,
            "enabled": 1,
        }
        | {"shared": 0, "active": 1, "used": 0},
        {
            "storage": "local",
            "type": "dir",
            "content": "rootdir,iso,backup",
            "enabled": 1,
            "shared": 0,
            "total": 9,
            "avail": 2,
        },
        {"storage": "nas", "type": "nfs", "content": "images", "enabled": 0, "shared": 1},
    ]
    served.say("GET /nodes/hv01/storage", Answer(entries))
    local, thin, nas = read.read_storages(client_of(served, AUDITOR), "hv01")
    assert (thin.name, thin.type, thin.available_bytes, thin.enabled, thin.shared) == (
        "local-lvm",
        "lvmthin",
        1,
        True,
        False,
    )
    assert local.content == {"rootdir", "iso", "backup"}
    assert (nas.enabled, nas.shared, nas.total_bytes) == (False, True, None)


def test_reads_bridges_and_their_ports(served: Served) -> None:
    entry = {"iface": "vmbr0", "bridge_ports": "eno1 eno2", "type": "bridge", "active": 1}
    served.say("GET /nodes/hv01/network", Answer([entry, {"iface": "vmbr1", "bridge_ports": "", "type": "bridge"}]))
    first, second = read.read_bridges(client_of(served, AUDITOR), "hv01")
    assert (first.name, first.ports, first.active) == ("vmbr0", ("eno1", "eno2"), True)
    assert (second.ports, second.active) == ((), False)


def test_a_number_in_use_is_known_without_any_privilege(served: Served) -> None:
    client = client_of(served, {})
    taken = Answer(status=400, reason="Parameter verification failed.", errors={"vmid": "VM 130 already exists"})
    served.say(
        "GET /cluster/nextid", Answer("130"), taken, Answer(status=400, reason="no", errors={"vmid": "too small"})
    )
    assert not read.vmid_is_taken(client, 130)
    assert read.vmid_is_taken(client, 130)
    with pytest.raises(BadParameters):
        read.vmid_is_taken(client, 5)


def test_an_absent_vm_is_none_and_an_unseen_one_is_refused(served: Served) -> None:
    client = client_of(served, POOLED)
    words = "Configuration file 'nodes/hv01/qemu-server/130.conf' does not exist"
    refused = Answer(status=403, reason="Permission check failed (/vms/130, VM.Audit)")
    served.say("GET /nodes/hv01/qemu/130/config", Answer(status=500, reason=words), refused)
    assert read.read_guest(client, "hv01", 130) is None
    with pytest.raises(Refused, match=r"\(/vms/130, VM\.Audit\)"):
        read.read_guest(client, "hv01", 130)


def test_reads_at_once_keep_their_order_and_raise_the_first_error() -> None:
    def half(number: int) -> int:
        if number == 13:
            raise ValueError("unlucky")
        return number // 2

    assert in_flight(half, range(10)) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert in_flight(half, []) == []
    with pytest.raises(ValueError, match="unlucky"):
        in_flight(half, range(30))
