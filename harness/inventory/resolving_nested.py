"""Resolve how a nested site's hypervisor is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.contract import Hypervisor, Iso, Mac, Nested, NestedMachine, Router
from harness.inventory.site import Inventory, normal_mac, parse_address

if TYPE_CHECKING:
    from harness.inventory import nested_models

NESTED_DISK = "vda"  # the one disk of the virtual machine, on virtio


def resolve_nested(inventory: Inventory, said: nested_models.Nested, hypervisor: Hypervisor, router: Router) -> Nested:
    """The answer file says what the inventory says of the hypervisor anyway, and what stands under mgmt_nested."""
    host = inventory.hosts[hypervisor.name]
    claim = next(claim for claim in host.claims if parse_address(claim.ip) == hypervisor.address)
    mac = normal_mac(claim.mac) or Mac("")
    segment = next(one for one in inventory.sound_segments.values() if hypervisor.address in one.subnet)
    file = (inventory.folder / Path(said.iso.file).expanduser()).absolute() if said.iso.file else None
    return Nested(
        iso=Iso(file, said.iso.url, said.iso.sha256.lower()),
        machine=NestedMachine(mac=mac, **said.machine.model_dump()),
        answer={
            "global": {
                "keyboard": said.answer.keyboard,
                "country": said.answer.country,
                "fqdn": hypervisor.fqdn,
                "mailto": said.answer.mailto,
                "timezone": said.answer.timezone,
                "reboot_mode": "power-off",  # so that QEMU ends; a reboot would start the installer again
            },
            "network": {
                "source": "from-answer",
                "cidr": f"{hypervisor.address}/{segment.subnet.prefixlen}",
                "dns": str(router.dns),
                "gateway": str(segment.gateway),
                "filter": {"ID_NET_NAME_MAC": f"*{mac.replace(':', '')}"},
            },
            "disk_setup": said.answer.disk_setup(NESTED_DISK),
        },
        declared=inventory.at("mgmt_nested"),
        images={key: image.disk_gib for key, image in said.images.items()},
    )
