"""Faults of a hypervisor that does not stand alone, or of what PVE holds besides the management VMs."""

from __future__ import annotations

from harness.verify.clauses import load_clauses
from tests.faults.bench import HYPERVISOR
from tests.faults.fault import Fault
from tests.faults.ways import Way, answered, called, ran, written
from tests.site.driver import ROOT

# Before the real one in the path of those who log in: no kernel would mount it without a server.
CAT = "/usr/local/bin/cat"
MOUNTED = """\
#!/bin/sh
/bin/cat "$@"
test "$1" != /proc/mounts || echo 198.18.99.9:/vm /mnt/nas nfs4 rw,relatime,vers=4.2 0 0
"""
CERTIFICATE = f"/etc/pve/nodes/{HYPERVISOR}/pve-ssl"
CLAUSES = load_clauses(ROOT / "specs/clauses.yml").by_id
# A clause that is read from the API is not judged without it.
FROM_THE_API = tuple(clause.id for clause in CLAUSES.values() if "api" in clause.evidence)


def another_certificate() -> Way:
    """As after a careless installation on top: the same authority, another key."""
    make = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN={HYPERVISOR}"
    new = f"{make} -keyout {CERTIFICATE}.key -out {CERTIFICATE}.pem 2>/dev/null; systemctl restart pveproxy"
    old = f"cp -p /root/pve-ssl.* {CERTIFICATE.rpartition('/')[0]}/; systemctl restart pveproxy"
    return ran(HYPERVISOR, f"cp -p {CERTIFICATE}.* /root/; {new}", old)


FAULTS = (
    Fault(
        "joined to a cluster",
        ("standalone.no-cluster",),
        "cluster and nodes: expected nothing, hv01, seen homelab, hv01, pve2",
        answered(
            "/cluster/status",
            [
                {"type": "cluster", "id": "cluster", "name": "homelab", "nodes": 2, "quorate": 1, "version": 2},
                {"type": "node", "id": "node/hv01", "name": "hv01", "nodeid": 1, "online": 1, "local": 1},
                {"type": "node", "id": "node/pve2", "name": "pve2", "nodeid": 2, "online": 1, "local": 0},
            ],
        ),
    ),
    Fault(
        "what a cluster left behind",
        ("standalone.no-cluster",),
        "corosync configuration: expected none, seen /etc/corosync/corosync.conf",
        written(HYPERVISOR, "/etc/corosync/corosync.conf", "totem {\n  cluster_name: homelab\n}\n"),
    ),
    Fault(
        "corosync runs",
        ("standalone.no-cluster",),
        "corosync.service: expected inactive, seen active",
        ran(HYPERVISOR, "systemd-run --quiet --unit=corosync sleep infinity", "systemctl stop corosync"),
    ),
    Fault(
        "a VM under high availability",
        ("standalone.no-ha",),
        "HA resources: expected none, seen vm:130",
        answered("/cluster/ha/resources", [{"sid": "vm:130", "type": "vm", "state": "started"}]),
    ),
    Fault(
        "a group for high availability",
        ("standalone.no-ha",),
        "HA groups: expected none, seen both",
        answered("/cluster/ha/groups", [{"group": "both", "type": "group", "nodes": "hv01,pve2"}]),
    ),
    Fault(
        "fencing by hardware",
        ("standalone.no-ha",),
        "fencing: expected nothing, seen hardware",
        answered("/cluster/options", {"fencing": "hardware"}),
    ),
    Fault(
        "a VM replicated elsewhere",
        ("standalone.no-replication",),
        "replication jobs: expected none, seen 130-0",
        answered("/cluster/replication", [{"id": "130-0", "guest": 130, "target": "pve2", "type": "local"}]),
    ),
    Fault(
        "a storage on a file server",
        ("storage.local-only",),
        "storages that are shared or remote: expected none, seen nas (nfs)",
        called("POST", "/storage", storage="nas", type="nfs", server="198.18.99.9", export="/vm", content="images"),
    ),
    Fault(
        "a directory that is said to be shared",
        ("storage.local-only",),
        "storages that are shared or remote: expected none, seen common (dir)",
        called("POST", "/storage", storage="common", type="dir", path="/srv/common", content="iso", shared="1"),
    ),
    Fault(
        "a mounted network file system",
        ("storage.local-only",),
        "network file systems: expected none, seen 198.18.99.9:/vm on /mnt/nas (nfs4)",
        written(HYPERVISOR, CAT, MOUNTED, then=f"test ! -e {CAT} || chmod 755 {CAT}"),
    ),
    Fault(
        "another certificate than the pinned one",
        ("standalone.own-web-ui",),
        "certificate of https://198.18.99.21:8006: expected",
        another_certificate(),
        unknown=FROM_THE_API,  # what another than the pinned one says is no answer
    ),
    Fault(
        "an API that is down",
        (),
        "Could not read the TLS certificate on 198.18.99.21 port 8006",
        ran(HYPERVISOR, "systemctl stop pveproxy", "systemctl start pveproxy"),
        unknown=("standalone.own-web-ui", *FROM_THE_API),
    ),
)
