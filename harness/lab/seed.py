"""State what the simulator starts with: the hypervisor as the installer leaves it, and what bootstrap adds."""

from __future__ import annotations

from typing import Any

from harness.lab.packages import INSTALLED
from harness.lab.spec import LabSpec

ROLES = {
    "MgmtAudit": "Sys.Audit VM.Audit Datastore.Audit Pool.Audit SDN.Audit",
    "MgmtProvision": (
        "VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit"
        " VM.Config.Disk VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options"
        " VM.Monitor VM.PowerMgmt Pool.Audit"
    ),
    "MgmtStore": "Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit",
    "MgmtBridge": "SDN.Use",
    "MgmtNode": "Sys.AccessNetwork Sys.Audit",
    "MgmtStartup": "Sys.Modify",
}
THIN_POOL_BYTES = 100 * 2**30


def seed_of(spec: LabSpec) -> dict[str, Any]:
    """The seed file's content; the secret files it names lie beside it."""
    installed = {
        "users": [{"userid": "root@pam", "password_file": "root.password"}],
        "storages": _storages(spec),
        "vms": [{"vmid": spec.template.vmid, "config": _template_config(spec)}],
        "options": {"keyboard": "en-us"},
    }
    return installed if spec.hypervisor_state == "installed" else {**installed, **_bootstrapped(spec)}


def _bootstrapped(spec: LabSpec) -> dict[str, Any]:
    node = spec.hypervisor.name
    return {
        "users": [
            {"userid": "root@pam", "password_file": "root.password"},
            {"userid": "verify@pve", "comment": "reads only"},
            {"userid": "provision@pve", "comment": "makes the management VMs"},
        ],
        "roles": {role: privileges.split() for role, privileges in ROLES.items()},
        "tokens": [_token("verify"), _token("provision")],
        "acl": [
            _allow("/", "MgmtAudit", "verify"),
            _allow(f"/pool/{spec.pool}", "MgmtProvision", "provision"),
            _allow("/storage/local-lvm", "MgmtStore", "provision"),
            _allow("/storage/local", "MgmtStore", "provision"),
            _allow("/sdn/zones/localnetwork", "MgmtBridge", "provision"),
            _allow(f"/nodes/{node}", "MgmtNode", "provision"),
            # PVE asks for Sys.Modify on / before it lets anyone set a VM's start order.
            {**_allow("/", "MgmtStartup", "provision"), "propagate": 0},
        ],
        "pools": [{"poolid": spec.pool, "comment": "management VMs", "vms": [spec.template.vmid], "storage": []}],
        "jobs": [_backup_job(spec)],
    }


def _backup_job(spec: LabSpec) -> dict[str, Any]:
    return {
        "id": "nightly",
        "enabled": 1,
        "pool": spec.pool,
        "storage": "local",
        "schedule": "02:00",
        "mode": "snapshot",
        "compress": "zstd",
        "prune-backups": "keep-last=3,keep-daily=7",
    }


def _storages(spec: LabSpec) -> list[dict[str, Any]]:
    """What the installer makes on a disk with LVM; bootstrap lets `local` hold more kinds of content."""
    content = "iso,vztmpl,backup" if spec.hypervisor_state == "installed" else "backup,import,iso,snippets,vztmpl"
    thin = {"thinpool": "data", "vgname": "pve", "content": "rootdir,images", "total_bytes": THIN_POOL_BYTES}
    return [
        {"storage": "local", "type": "dir", "path": "/var/lib/vz", "content": content},
        {"storage": "local-lvm", "type": "lvmthin", **thin},
    ]


def simulator_options(spec: LabSpec) -> str:
    """The simulator's command line in the hypervisor."""
    certificates = f"/etc/pve/nodes/{spec.hypervisor.name}/pve-ssl"
    return " ".join(
        f"--{name} {value}"
        for name, value in {
            "state": "/var/lib/pve-simulator",
            "listen": "[::]:8006",
            "certificate": f"{certificates}.pem",
            "key": f"{certificates}.key",
            "ca": "/etc/pve/pve-root-ca.pem",
            "node": spec.hypervisor.name,
            "address": str(spec.hypervisor.address),
            "runtime": "namespaces",
            "runtime-dir": "/var/lib/pve-guests",
            "guest-image": "/var/lib/mgmt-lab/image",
            "seed": "/etc/mgmt-lab/seed.json",
            "pve-version": INSTALLED[spec.hypervisor_state],
        }.items()
    )


def _token(purpose: str) -> dict[str, Any]:
    return {"id": f"{purpose}@pve!harness", "secret_file": f"{purpose}.token", "privsep": 1, "expire": 0}


def _allow(path: str, role: str, purpose: str) -> dict[str, Any]:
    """Both the user and its token: with separated privileges a token has only what both have."""
    user = f"{purpose}@pve"
    return {"path": path, "roles": [role], "users": [user], "tokens": [f"{user}!harness"], "groups": [], "propagate": 1}


def _template_config(spec: LabSpec) -> dict[str, str]:
    template = spec.template
    return {
        "agent": "1",
        "boot": "order=scsi0",
        "cores": "1",
        "cpu": "x86-64-v2-AES",
        "description": f"Debian 12 for the embedded lab\nbuild: {template.build_mark}",
        # A MAC changed while the VM runs stays pending instead of cutting the guest off.
        "hotplug": "disk,usb",
        "memory": "1024",
        "name": template.name,
        "net0": f"virtio=BC:24:11:00:90:00,bridge={spec.bridge}",
        "numa": "0",
        "ostype": "l26",
        "scsi0": f"local-lvm:base-{template.vmid}-disk-0,size=4G",
        "scsihw": "virtio-scsi-single",
        "smbios1": "uuid=5f0c6d1e-6f0a-4b7e-9d56-3f1b8a2c9000",
        "sockets": "1",
        "template": "1",
        "vmgenid": "0f8e3c52-8a41-4f7b-b2f3-7d5f4a6e9000",
    }
