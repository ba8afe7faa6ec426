"""What a site promises, as plain values that other tools can read: theirs to assert as it is ours."""

from __future__ import annotations

from typing import Any

from harness.contract import Contract, Guest
from harness.plan.marks import Provenance, build_of, tags_of
from harness.pve import wire


def expected_of(contract: Contract, template_notes: str) -> dict[str, Any]:
    """Everything that Ansible's playbooks, testinfra's and serverspec's specs compare with."""
    hypervisor, router = contract.hypervisor, contract.router
    return {
        "site": contract.site,
        "domain": contract.domain,
        "node": hypervisor.node,
        "pool": hypervisor.pool,
        "pve_version": hypervisor.pve_version,
        "debian_codename": hypervisor.debian_codename,
        "debian_release": hypervisor.debian_release,
        "architecture": hypervisor.architecture,
        "time_servers": list(hypervisor.time_servers),
        "bridges": {bridge.name: bridge.port for bridge in hypervisor.bridges},
        "storages": {one.name: sorted(one.content) for one in hypervisor.storages},
        "backup_job": hypervisor.backup.id if hypervisor.backup else None,
        "backup_storage": hypervisor.backup.storage if hypervisor.backup else None,
        "pve_roles": ["MgmtAudit", "MgmtProvision"],
        "pve_users": ["verify@pve", "provision@pve"],
        "templates": [int(one.vmid) for one in hypervisor.templates.values() if one.vmid is not None],
        "router": {
            "name": router.name,
            "address": str(router.address),
            "dns": str(router.dns),
            "port": router.dns_port,
        },
        "guests": [_guest(contract, guest, template_notes) for guest in contract.guests],
    }


def _guest(contract: Contract, guest: Guest, template_notes: str) -> dict[str, Any]:
    template = contract.hypervisor.templates[guest.template]
    origin = Provenance(contract.site, guest.name, template.name, build_of(template, template_notes), "linked")
    return {
        "name": guest.name,
        "fqdn": guest.fqdn,
        "vmid": int(guest.vmid),
        "template": template.vmid,
        "template_name": template.name,
        "mac": guest.nic.mac,
        "bridge": guest.nic.bridge,
        "net0": wire.render_nic(guest.nic),
        "address": str(guest.nic.address.ip),
        "prefix": guest.nic.address.network.prefixlen,
        "gateway": str(guest.nic.segment.gateway),
        "memory": guest.memory_mib,
        "cores": guest.cores,
        "startup": wire.render_startup(guest.start_order, guest.start_delay_s),
        "tags": sorted(tags_of(guest)),
        "category": guest.category,
        "notes": origin.render(),
        "aliases": [f"{alias}" for alias in guest.cnames],
        "services": [
            {"unit": one.unit, "tcp": list(one.ports), "udp": list(one.udp_ports), "health": one.health_url}
            for one in guest.services
        ],
    }
