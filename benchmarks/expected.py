"""What a site promises, as plain values that other tools can read: theirs to assert as it is ours."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from benchmarks.expected_guests import guests_of
from harness import inventory
from harness.bootstrap.variables import derive_accounts, derive_backup, derive_grants
from harness.contract import Contract, Hardware, Template
from harness.inventory.models import RESPONSIBILITIES
from harness.privileges import ROLES
from harness.probe import own_macs
from harness.probing import dhcp
from harness.verify import derived
from harness.verify.allowances import least_memory_bytes
from harness.verify.certificate import read_pin
from harness.verify.host_facts import NETWORK_FILE_SYSTEMS
from harness.verify.mac_owners import read_mac_owners
from harness.verify.marks import CATEGORIES, LOCAL_TYPES
from harness.verify.repositories import parse_repositories
from harness.verify.segment_facts import bridges_of

# DNS, also over TLS; DHCP's server ports in both protocols; BGP and RIP.
CORE_PORTS = (53, 853, 67, 547, 179, 520, 521)


def expected_of(contract: Contract, template_notes: str) -> dict[str, Any]:
    """Everything that Ansible's playbooks, testinfra's and serverspec's specs compare with."""
    return {
        "site": contract.site,
        "domain": contract.domain,
        "waived": sorted({one.clause for one in contract.waivers if one.until >= date.today()}),
        **_machine(contract),
        **_access(contract),
        **_backup(contract),
        **_network(contract),
        **_namespace(contract),
        "templates": [_template(one) for one in contract.hypervisor.templates.values() if one.vmid is not None],
        "exceptions": [{"vmid": int(one.vmid), "until": one.until.isoformat()} for one in contract.exceptions],
        "categories": sorted(CATEGORIES),
        "responsibilities": list(RESPONSIBILITIES),
        "planned": dict(contract.planned),
        "tenant_words": list(derived.tenant_words(contract)),
        "tenant_pattern": _whole_words(derived.tenant_words(contract)),
        "guests": guests_of(contract, template_notes),
    }


def _machine(contract: Contract) -> dict[str, Any]:
    hypervisor = contract.hypervisor
    pinned = None if hypervisor.api.ca_file else read_pin(hypervisor.api, contract.site_folder)
    return {
        "hypervisor": hypervisor.name,
        "node": hypervisor.node,
        "web": {"host": urlsplit(hypervisor.api.url).hostname, "port": urlsplit(hypervisor.api.url).port or 443},
        "fingerprint": pinned,
        "pve_version": hypervisor.pve_version,
        "debian_codename": hypervisor.debian_codename,
        "debian_release": hypervisor.debian_release,
        "architecture": hypervisor.architecture,
        "hardware": _hardware(hypervisor.hardware),
        "nested": hypervisor.nested,
        "repositories": sorted(parse_repositories(hypervisor.packages.repositories)) if hypervisor.packages else [],
        "time_servers": list(hypervisor.time_servers),
        "storages": {one.name: sorted(one.content) for one in hypervisor.storages},
        "local_types": sorted(LOCAL_TYPES),
        "network_file_systems": sorted(NETWORK_FILE_SYSTEMS),
    }


def _hardware(declared: Hardware) -> dict[str, Any]:
    """No size at all while the site has not chosen its machine."""
    chosen = declared.pending is None
    return {
        "memory_bytes": least_memory_bytes(declared) if chosen else 0,
        "disk_bytes": declared.disk_gb * 10**9 if chosen else 0,
        "solid_state": declared.disk_solid_state,
        "nic_speed": declared.nic_speed_mbit if chosen else 0,
        "nic_model": declared.nic_model or "",
        "product": declared.product,
        "cpu_model": declared.cpu_model,
        "cores": declared.cores,
        "threads": declared.threads,
    }


def _access(contract: Contract) -> dict[str, Any]:
    accounts = derive_accounts(contract)
    grants = [
        {"path": one["path"], "roleid": one["role"], "type": kind, "ugid": who, "propagate": int(one["propagate"])}
        for one in derive_grants(contract)
        for kind, who in (("user", one["user"]), ("token", f"{one['user']}!{one['token']}"))
    ]
    return {
        "pool": contract.hypervisor.pool,
        "pve_roles": {role: sorted(privileges.split()) for role, privileges in ROLES.items()},
        "accounts": [{"user": one["user"], "token": one["token"]} for one in accounts],
        "grants": grants,
        "grantees": sorted({one["ugid"] for one in grants}),
    }


def _backup(contract: Contract) -> dict[str, Any]:
    job = derive_backup(contract)
    options = {key: str(value) for key, value in job["options"].items()} if job else {}
    return {
        "backup_job": job["id"] if job else None,
        "backup_storage": options.get("storage"),
        "backup_keeps": dict(re.findall(r"(keep-\w+)=(\d+)", options.pop("prune-backups", ""))),
        "backup_options": options,
        "backup_max_age_s": int(contract.backup_max_age_s),
    }


def _network(contract: Contract) -> dict[str, Any]:
    router = contract.router
    declared = {str(one.target) for one in contract.records if one.type == "A"}
    return {
        "bridges": {bridge.name: bridge.port for bridge in contract.hypervisor.bridges},
        "core_ports": sorted(CORE_PORTS),
        "router": {
            "name": router.name,
            "address": str(router.address),
            "dns": str(router.dns),
            "port": router.dns_port,
        },
        "dhcp_server": derived.dhcp_server_of(contract),
        "dhcp_questions": {bridge: _dhcp_question(contract, bridge) for bridge in bridges_of(contract)},
        "declared_addresses": sorted(
            declared | {str(router.address)} | {str(one.nic.segment.gateway) for one in contract.guests}
        ),
        "turns": [list(turn) for turn in derived.turns({one.name: one.start_order for one in contract.guests})],
    }


def _dhcp_question(contract: Contract, bridge: str) -> str:
    """The same script as ours, for the hypervisor to run: a second server shows itself to crafted packets alone."""
    there = [guest.nic for guest in contract.guests if guest.nic.bridge == bridge and guest.nic.vlan_tag is None]
    return dhcp.render_command(bridge, [nic.mac for nic in there], sudo=contract.hypervisor.ssh.user != "root")


def _namespace(contract: Contract) -> dict[str, Any]:
    """The parts that MACs are made of, and everybody's MAC on every site."""
    folder = contract.site_folder.parent
    meaning = inventory.survey(folder, contract.site)[0].mac_namespace
    macs = [mac for mac, _, _ in read_mac_owners(folder, contract.site).owners if ":" in mac]
    return {
        "mac_namespace": {
            "prefix": meaning.prefix,
            "environment": meaning.environment,
            "roles": dict(meaning.roles),
            "groups": dict(meaning.groups),
        },
        "declared_macs": macs,
        "known_macs": sorted({*macs, *own_macs()}),
    }


def _template(template: Template) -> dict[str, Any]:
    return {
        "vmid": template.vmid,
        "name": template.name,
        "storage": template.storage,
        "os": template.os,
        "build_mark": template.build_mark,
        "user": template.user,
    }


def _whole_words(words: tuple[str, ...]) -> str:
    """A regular expression that Python and Ruby understand alike; one that nothing matches where there is no word."""
    return "|".join(rf"(?<![\w.-]){re.escape(word)}(?![\w-])(?!\.\w)" for word in words) or r"(?!)"
