"""What a site promises of each VM, as plain values."""

from __future__ import annotations

from typing import Any

from harness import inventory
from harness.contract import Contract, Guest
from harness.plan.marks import UNFINISHED, Provenance, build_of, tags_of
from harness.pve import wire


def guests_of(contract: Contract, template_notes: str) -> list[dict[str, Any]]:
    return [_guest(contract, guest, template_notes) | place for guest, place in _placed(contract)]


def _placed(contract: Contract) -> list[tuple[Guest, dict[str, Any]]]:
    """Each guest with its place in the MACs' namespace, which only the inventory knows."""
    site = inventory.survey(contract.site_folder.parent, contract.site)[0]
    declared = {host.name: host.vm for host in site.guests}
    places = {name: {"group": vm.group, "index": vm.index} for name, vm in declared.items() if vm is not None}
    return [(guest, places[guest.name]) for guest in contract.guests]


def _guest(contract: Contract, guest: Guest, template_notes: str) -> dict[str, Any]:
    template = contract.hypervisor.templates[guest.template]
    origin = Provenance(contract.site, guest.name, template.name, build_of(template, template_notes), "linked")
    return {
        "name": guest.name,
        "fqdn": guest.fqdn,
        "vmid": int(guest.vmid),
        "template": template.vmid,
        "template_name": template.name,
        "slot": guest.nic.slot,
        "mac": guest.nic.mac,
        "bridge": guest.nic.bridge,
        "vlan_tag": guest.nic.vlan_tag,
        "net0": wire.render_nic(guest.nic),
        "address": str(guest.nic.address.ip),
        "prefix": guest.nic.address.network.prefixlen,
        "gateway": str(guest.nic.segment.gateway),
        "memory": guest.memory_mib,
        "cores": guest.cores,
        "startup": wire.render_startup(guest.start_order, guest.start_delay_s),
        "tags": sorted(tags_of(guest)),
        "category": guest.category,
        "responsibilities": list(guest.responsibilities),
        "notes": origin.render(),
        "origin": {"template": f"template={origin.template}", "build": f"build={origin.build}"}
        | {"own": f"site={origin.site} guest={origin.guest}"},
        "unfinished": UNFINISHED,
        "ephemeral_disks": sorted(guest.ephemeral_disks),
        "aliases": [f"{alias}" for alias in guest.cnames],
        "ssh": {"port": guest.ssh.port, "user": guest.ssh.user},
        "services": [
            {"unit": one.unit, "tcp": list(one.ports), "udp": list(one.udp_ports), "health": one.health_url}
            for one in guest.services
        ],
    }
