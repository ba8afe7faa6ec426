"""Write down what the floor asks and does: the calls nobody can do without, each once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dns.message
import dns.reversename

from harness.contract import Contract, Guest
from harness.plan.marks import Provenance, build_of, notes_of_a_new_clone, tags_of
from harness.probing import dhcp
from harness.pve import wire
from harness.remote.personalise import render_script
from harness.secrets import read_secret
from harness.verify import guest_facts, host_facts, host_setup, segment_facts
from harness.verify.batch import render_batch

# What a hypervisor is asked once, whatever runs on it; {node} is its name.
ONCE = (
    *("/version", "/access/permissions", "/access/roles", "/access/users?full=1", "/access/acl", "/pools"),
    *("/cluster/status", "/cluster/ha/resources", "/cluster/ha/groups", "/cluster/replication", "/cluster/options"),
    *("/cluster/resources", "/cluster/backup", "/storage", "/nodes/{node}/status", "/nodes/{node}/storage"),
    *("/nodes/{node}/network?type=bridge", "/nodes/{node}/disks/list", "/nodes/{node}/qemu", "/nodes/{node}/lxc"),
    "/nodes/{node}/time",
)
PER_GUEST = ("pending",)  # the values in force are in it, too
MARK = "floor"


def plan_of(contract: Contract, ssh_config: Path, template_notes: str) -> dict[str, Any]:
    """For benchmarks/floor.py: values, nothing to decide."""
    backup = contract.hypervisor.backup
    return {
        "node": contract.hypervisor.node,
        "api": _api(contract),
        "paths": list(_paths(contract)),
        "hosts": list(_hosts(contract, ssh_config)),
        "wire": list(_wire(contract)),
        "backups": len(contract.guests),
        "guests": [_guest(contract, guest, ssh_config, template_notes) for guest in contract.guests],
        "backup": {"storage": backup.storage if backup else "", "mode": "snapshot", "compress": "zstd", "remove": 0},
    }


def _api(contract: Contract) -> dict[str, Any]:
    api, base = contract.hypervisor.api, contract.site_folder
    pin = api.fingerprint
    told = pin if isinstance(pin, str) or pin is None else read_secret(pin, base=base).reveal()
    tokens = {name: f"{one.id}={read_secret(one.secret, base=base).reveal()}" for name, one in api.tokens.items()}
    return {
        "url": api.url,
        "ca_file": str(api.ca_file) if api.ca_file else None,
        "fingerprint": told.strip().replace(":", "").lower() if told else None,
        "tokens": tokens,
    }


def _paths(contract: Contract) -> Iterator[str]:
    node = contract.hypervisor.node
    yield from (path.format(node=node) for path in ONCE)
    if contract.hypervisor.backup is not None:
        yield f"/cluster/backup/{contract.hypervisor.backup.id}/included_volumes"
        stored = f"/nodes/{node}/storage/{contract.hypervisor.backup.storage}/prunebackups"
        yield f"{stored}?prune-backups=keep-all%3D1&type=qemu"
    for template in contract.hypervisor.templates.values():
        yield f"/nodes/{node}/qemu/{template.vmid}/config"
    for guest in contract.guests:
        yield from (f"/nodes/{node}/qemu/{guest.vmid}/{what}" for what in PER_GUEST)


def _hosts(contract: Contract, ssh_config: Path) -> Iterator[tuple[list[str], str]]:
    """The same questions as ours, all of a host's in one login."""
    hypervisor = contract.hypervisor
    sudo = hypervisor.ssh.user != "root"
    asked = {**host_facts.COMMANDS, **host_setup.COMMANDS}
    for bridge in dict.fromkeys(guest.nic.bridge for guest in contract.guests):
        there = [guest for guest in contract.guests if guest.nic.bridge == bridge and guest.nic.vlan_tag is None]
        discover = {"dhcp": dhcp.render_command(bridge, [guest.nic.mac for guest in there], sudo=sudo)}
        wake = segment_facts.wake([str(contract.router.address), str(hypervisor.address)])
        looks = {**wake, **discover, **segment_facts.AFTERWARDS}
        asked |= {f"{name}-{bridge}": command for name, command in looks.items()}
    yield _login(ssh_config, hypervisor.name), _script(asked)
    if contract.router.kind == "dnsmasq" and contract.router.ssh is not None:
        read = "cat /etc/dnsmasq.conf /etc/dnsmasq.d/*.conf /etc/mgmt-dnsmasq/* /var/lib/misc/dnsmasq.leases"
        yield _login(ssh_config, contract.router.name), _script({"files": read})
    for guest in contract.guests:
        units = guest_facts.unit_commands([service.unit for service in guest.services])
        yield _login(ssh_config, guest.name), _script(guest_facts.COMMANDS | units)


def _script(commands: Mapping[str, str]) -> str:
    return f"{render_batch(commands, MARK)}echo floor-end\n"


def _login(ssh_config: Path, name: str) -> list[str]:
    return ["ssh", "-T", "-F", str(ssh_config), name, "sh -s"]


def _wire(contract: Contract) -> Iterator[tuple[str, str, int, str]]:
    server, port = str(contract.router.dns), contract.router.dns_port
    for guest in contract.guests:
        address = str(guest.nic.address.ip)
        for name in (guest.fqdn, *guest.cnames):
            yield "dns", server, port, dns.message.make_query(name, "A").to_wire().hex()
        pointer = dns.reversename.from_address(address)
        yield "dns", server, port, dns.message.make_query(pointer, "PTR").to_wire().hex()
        yield "banner", address, guest.ssh.port, ""
        for service in guest.services:
            yield from (("open", address, one, "") for one in service.ports)
            if service.health_url:
                url = urlsplit(service.health_url)
                yield "http", address, url.port or 80, f"{url.netloc}{url.path or '/'}"


def _guest(contract: Contract, guest: Guest, ssh_config: Path, template_notes: str) -> dict[str, Any]:
    template = contract.hypervisor.templates[guest.template]
    origin = Provenance(contract.site, guest.name, template.name, build_of(template, template_notes), "linked")
    identity = render_script(hostname=guest.name, fqdn=guest.fqdn)
    address = str(guest.nic.address.ip)
    # A new clone's host key is the image's, and nobody has told it yet.
    known = ssh_config.parent / "floor_known_hosts"
    first = ["-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={known}"]
    return {
        "vmid": int(guest.vmid),
        "template": template.vmid,
        "address": address,
        "clone": {
            "newid": int(guest.vmid),
            "name": guest.name,
            "pool": contract.hypervisor.pool or "",
            "full": 0,
            "description": notes_of_a_new_clone(origin),
        },
        "config": {
            guest.nic.slot: wire.render_nic(guest.nic),
            "memory": guest.memory_mib,
            "cores": guest.cores,
            "onboot": 1,
            "startup": wire.render_startup(guest.start_order, guest.start_delay_s),
            "protection": 1,
            "tags": wire.render_tags(tags_of(guest)),
        },
        "ssh": ["ssh", *first, *_login(ssh_config, guest.name)[1:]],
        "identity": f"sudo -n sh -s <<'END_OF_IDENTITY'\n{identity}\nEND_OF_IDENTITY\necho floor-end\n",
        "finish": {"description": origin.render()},
    }
