"""One mistake in an inventory is one problem, at its file and line, in words that say what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from harness import errors, inventory
from harness.contract import resolve
from tests.inventory.trees import copy_shipped

SITES = ("dvnt", "dvntm", "lab")
TODAY = date(2026, 11, 22)
VM = "dvntm/host_vars/logs-vm01.yml"
METRICS = "dvntm/host_vars/metrics-vm01.yml"
HV = "dvntm/host_vars/hv01.yml"
SITE = "dvntm/group_vars/all/mgmt.yml"
NAMESPACE = "dvntm/group_vars/all/mac_namespace.yml"
VLANS = "dvntm/group_vars/all/vlans.yml"
DEFAULTS = "dvntm/group_vars/management_vms/vm.yml"
HOSTS = "dvntm/hosts.yml"


@dataclass(frozen=True)
class Mistake:
    """Replace `old` by `new` in `file`; the problem stands on the line that then holds `line` (of `at`)."""

    name: str
    file: str
    old: str
    new: str
    line: str
    words: tuple[str, ...]
    at: str | None = None
    severity: str = "error"


def mistake(name: str, file: str, old: str, new: str, line: str, *words: str, at: str | None = None) -> Mistake:
    return Mistake(name, file, old, new, line, words, at)


def doubt(name: str, file: str, old: str, new: str, line: str, *words: str, at: str | None = None) -> Mistake:
    return Mistake(name, file, old, new, line, words, at, "warning")


WAIVER = """
mgmt_waivers:
  - clause: hardware.model
    reason: being repaired
    owner: me
    until: 2027-01-31
"""

YAML_MISTAKES = [
    mistake("broken YAML", VM, "env:\n", "env: [\n", "  interfaces:", "YAML error"),
    mistake("a tab for indentation", VM, "  role: logs", "\trole: logs", "\trole: logs", "YAML error"),
    mistake("broken hosts.yml", HOSTS, "hv01: {}", "hv01: {", "management_vms:", "YAML error"),
    mistake("broken site file", SITE, "mgmt_site:", "mgmt_site: {", "authority", "YAML error"),
    mistake("a doubled key", VM, "  cores: 2", "  cores: 2\n  cores: 4", "cores: 4", "'cores'", "second time"),
    mistake("a doubled host", HOSTS, "hv02: {}", "hv01: {}", "hv01: {}", "'hv01'", "second time"),
    mistake(
        "a list for a mapping", VM, "mgmt_vm:\n", "mgmt_vm: []\nnot_ours:\n", "mgmt_vm", "an empty list", "a mapping"
    ),
    mistake("an unknown YAML tag", VM, "  cores: 2", "  cores: !many 2", "cores: !many", "unknown tag !many"),
]

KEY_MISTAKES = [
    mistake(
        "unknown key in mgmt_vm",
        VM,
        "memory_mib:",
        "memory: 1\n  memory_mib:",
        "memory: 1",
        "unknown key",
        "memory_mib",
    ),
    mistake(
        "unknown key in defaults", DEFAULTS, "  bridge:", "  brigde: x\n  bridge:", "brigde", "did you mean 'bridge'"
    ),
    mistake("unknown key deep down", HV, "codename:", "codenme: x, codename:", "codenme", "did you mean 'codename'"),
    mistake(
        "unknown variable of ours",
        SITE,
        "mgmt_site:",
        "mgmt_sites: 1\nmgmt_site:",
        "mgmt_sites",
        "did you mean 'mgmt_site'",
    ),
    doubt("unknown key in env", VM, "purpose: mgmt", "purpos: mgmt", "purpos", "unknown key", "did you mean 'purpose'"),
    doubt("unknown key in infrastructure", VM, "  form: vm", "  form: vm\n  rack: 3", "rack: 3", "unknown key"),
    mistake(
        "text for a number", VM, "memory_mib: 4096", "memory_mib: '4096'", "memory_mib", "'4096'", "a whole number"
    ),
    mistake("number for a text", HV, 'release: "12"', "release: 12", "release: 12", "found 12", "a text", "quotes"),
    mistake("negative memory", VM, "memory_mib: 4096", "memory_mib: -1", "memory_mib", "-1", "at least 16"),
    mistake(
        "a word for true", VM, "dhcp_reservation: true", "dhcp_reservation: 'yes'", "dhcp_reservation", "true or false"
    ),
    mistake("index out of range", VM, "index: 1", "index: 300", "index: 300", "300", "at most 255"),
    mistake("VMID out of range", VM, "vmid: 2031", "vmid: 31", "vmid: 31", "at least 100"),
    mistake("a version in no form", HV, '"8.4.1"', '"8.4"', "pve_version", "'8.4'", "8.4.1"),
    mistake("missing key", VM, "  cores: 2\n", "", "mgmt_vm:", "mgmt_vm.cores", "found nothing"),
    mistake(
        "missing site keys", SITE, "  authority: core ", "  # authority: core ", "mgmt_site:", "authority", "nothing"
    ),
    mistake("no mgmt_vm", VM, "mgmt_vm:", "not_mgmt_vm:", "env:", "the key mgmt_vm"),
    mistake("no mgmt_hypervisor", HV, "mgmt_hypervisor:", "old_hypervisor:", "env:", "the key mgmt_hypervisor"),
    mistake("no namespace", NAMESPACE, "mgmt_mac_namespace:", "old_namespace:", "all:", "mgmt_mac_namespace", at=HOSTS),
    mistake("no mgmt_site", SITE, "mgmt_site:", "old_site:", "all:", "the key mgmt_site", at=HOSTS),
    mistake(
        "an expression in our key", VM, "cores: 2", 'cores: "{{ 1 + 1 }}"', "cores:", "Jinja expression", "plain value"
    ),
    mistake(
        "an expression as zone",
        "dvntm/group_vars/all/main.yml",
        "deevnet.net\n",
        "'{{ zone }}'\n",
        "deevnet_root_domain",
        "plain text",
    ),
    mistake(
        "a VM that is nowhere entered",
        HOSTS,
        "            logs-vm01: {}\n",
        "",
        "mgmt_vm:",
        "unknown host 'logs-vm01'",
        at=VM,
    ),
    mistake(
        "a slip in a host's name",
        HOSTS,
        "logs-vm01: {}",
        "lgos-vm01: {}",
        "lgos-vm01",
        "'logs-vm01'",
        "belongs to no host",
    ),
    mistake(
        "a slip in a group's name",
        HOSTS,
        "management_vms:",
        "managment_vms:",
        "mgmt_vm_defaults:",
        "unknown group 'management_vms'",
        at=DEFAULTS,
    ),
    mistake(
        "a default that is gone",
        DEFAULTS,
        "  bridge: vmbr0\n",
        "",
        "mgmt_vm_defaults:",
        "bridge for every management VM",
    ),
    mistake(
        "no defaults",
        DEFAULTS,
        "mgmt_vm_defaults:",
        "old_defaults:",
        "all:",
        "bridge, hypervisor, ssh, template for every",
        at=HOSTS,
    ),
    mistake(
        "a wrong default",
        DEFAULTS,
        "template: fedora-server-43",
        "template: 43",
        "template: 43",
        "mgmt_vm_defaults.template",
        "a text",
    ),
    mistake(
        "a nested list of hosts",
        HOSTS,
        "          hosts:\n            jump-vm01: {}\n            oob-vm01: {}",
        "          hosts: [jump-vm01, oob-vm01]",
        "hosts: [",
        "a mapping of hosts",
    ),
]

MAC = '"02:de:20:01:02:01"'
MAC_MISTAKES = [
    mistake("five bytes", VM, MAC, '"02:de:20:01:02"', "mac:", "'02:de:20:01:02'", "six bytes"),
    mistake("upper case", VM, MAC, '"02:DE:20:01:02:01"', "mac:", "lowercase", "'02:de:20:01:02:01'"),
    mistake("dashes", VM, MAC, '"02-de-20-01-02-01"', "mac:", "colons", "'02:de:20:01:02:01'"),
    mistake("multicast", VM, MAC, '"03:de:20:01:02:01"', "mac:", "unicast"),
    mistake("a vendor's MAC", VM, MAC, '"bc:24:11:01:02:01"', "mac:", "locally administered", "inventory.mac"),
    mistake("without quotes", VM, MAC, "52:54:00:12:34:56", "mac:", "a text", "put it in quotes"),
    mistake("unknown", VM, MAC, "UNKNOWN", "mac:", "'UNKNOWN'", "explicit MAC"),
    mistake("nothing", VM, MAC, "", "mac:", "nothing", "explicit MAC"),
    mistake("another prefix", VM, MAC, '"02:df:20:01:02:01"', "mac:", "'02:df' for the prefix", "'02:de:20:01:02:01'"),
    mistake("another site", VM, MAC, '"02:de:30:01:02:01"', "mac:", "'30' for the environment", "'02:de:20:01:02:01'"),
    mistake("another category", VM, MAC, '"02:de:20:02:02:01"', "mac:", "'02' for the category observability"),
    mistake("another group", VM, MAC, '"02:de:20:01:0b:01"', "mac:", "'0b' for the group logs"),
    mistake("another index", VM, MAC, '"02:de:20:01:02:02"', "mac:", "'02' for the index 1"),
    mistake(
        "the site's byte",
        NAMESPACE,
        'environment: "20"',
        'environment: "21"',
        "environment",
        "'21'",
        "all 10 MACs have '20'",
    ),
    mistake("a category's byte", NAMESPACE, 'automation: "02"', 'automation: "04"', "automation", "'04'", "all 4 MACs"),
    mistake("a byte twice", NAMESPACE, 'dashboards: "03"', 'dashboards: "02"', "dashboards", "'02', which logs has"),
    mistake(
        "a byte without quotes", NAMESPACE, 'environment: "20"', "environment: 20", "environment", "put it in quotes"
    ),
    mistake("no byte for the group", NAMESPACE, '    logs: "02"\n', "", "group: logs", "unknown group 'logs'", at=VM),
]

SHARED_MISTAKES = [
    mistake("a MAC twice", VM, MAC, '"02:de:20:01:01:01"', "mac:", "metrics-vm01 of dvntm", "metrics-vm01.yml:6"),
    mistake(
        "a MAC of another site",
        VM,
        MAC,
        '"02:de:10:01:02:01"',
        "mac:",
        "logs-vm01 of dvnt",
        "dvnt/host_vars/logs-vm01.yml:6",
    ),
    mistake(
        "an address twice", VM, "10.20.99.31", "10.20.99.30", "ip:", "metrics-vm01 of dvntm", "metrics-vm01.yml:12"
    ),
    mistake("the hypervisor's address", VM, "10.20.99.31", "10.20.99.21", "ip:", "hv01 of dvntm", "hv01.yml:10"),
    mistake(
        "an address of another site", VM, "10.20.99.31", "10.10.99.31", "ip:", "logs-vm01 of dvnt", "over all sites"
    ),
    mistake("a VMID twice", VM, "vmid: 2031", "vmid: 2030", "vmid:", "metrics-vm01 of dvntm", "metrics-vm01.yml:23"),
    mistake("a VMID of another site", VM, "vmid: 2031", "vmid: 1031", "vmid:", "logs-vm01 of dvnt", "over all sites"),
    mistake(
        "the template's VMID",
        HV,
        "name: fedora-server-43-1.6 ",
        "vmid: 2031\n      name: fedora-server-43-1.6 ",
        "vmid:",
        "template fedora-server-43",
        at=VM,
    ),
    mistake(
        "an alias twice", VM, "- logs", "- metrics", "- metrics", "metrics.dvntm.deevnet.net", "metrics-vm01.yml:20"
    ),
    mistake(
        "a host's name as alias", VM, "- logs", "- metrics-vm01", "- metrics-vm01", "metrics-vm01.dvntm.deevnet.net"
    ),
    mistake(
        "a domain twice",
        "dvnt/group_vars/all/main.yml",
        "deevnet_substrate: dvnt\n",
        "deevnet_substrate: dvntm\n",
        "deevnet_substrate",
        "'dvntm', the domain of",
        at="dvntm/group_vars/all/main.yml",
    ),
    mistake(
        "an environment twice",
        NAMESPACE,
        '"20"',
        '"10"',
        "environment",
        "02:de:10",
        "dvnt/group_vars/all/mac_namespace.yml:5",
    ),
]

NETWORK_MISTAKES = [
    mistake("outside the segment", VM, "10.20.99.31", "10.20.98.31", "ip:", "'10.20.98.31'", "10.20.99.0/24"),
    mistake("the gateway's address", VM, "10.20.99.31", "10.20.99.1", "ip:", "gateway", "10.20.99.1"),
    mistake("the network's address", VM, "10.20.99.31", "10.20.99.0", "ip:", "a host address"),
    mistake("the broadcast address", VM, "10.20.99.31", "10.20.99.255", "ip:", "a host address"),
    mistake(
        "inside the pool",
        VLANS,
        "  management:\n",
        "  management:\n    dhcp_range_start: 10.20.99.39\n    dhcp_range_end: 10.20.99.60\n",
        "ip:",
        "10.20.99.39",
        "inside the dynamic pool",
        at="dvntm/host_vars/oob-vm01.yml",
    ),
    mistake("no address", VM, "ip: 10.20.99.31", "ip: dhcp", "ip: dhcp", "'dhcp'", "an IPv4 address"),
    mistake("no address at all", VM, "10.20.99.31", "10.20.99.331", "ip:", "'10.20.99.331'", "an IPv4 address"),
    mistake(
        "unknown segment",
        VM,
        "segment: management",
        "segment: managment",
        "segment:",
        "unknown segment 'managment'",
        "did you mean 'management'",
    ),
    mistake(
        "a segment the bridge lacks",
        VM,
        "segment: management",
        "segment: platform",
        "segment:",
        "a segment of the bridge vmbr0",
    ),
    mistake(
        "a wrong gateway",
        VM,
        "      segment: management\n",
        "      segment: management\n      gateway: 10.20.99.2\n",
        "gateway:",
        "'10.20.99.2'",
        "10.20.99.1",
    ),
    mistake(
        "a wrong prefix",
        VM,
        "      segment: management\n",
        "      segment: management\n      prefix: 16\n",
        "prefix:",
        "16",
        "24",
    ),
    mistake(
        "two interfaces",
        VM,
        "    eth0:\n      ip:",
        "    eth1: {ip: 10.20.99.131}\n    eth0:\n      ip:",
        "  interfaces:",
        "2 interfaces",
        "exactly one",
    ),
    mistake(
        "an interface without hardware",
        VM,
        '    eth0:\n      mac: "02',
        '    eth1:\n      mac: "02',
        "  interfaces:",
        "the MAC of eth0",
    ),
    mistake(
        "no reservation",
        VM,
        "dhcp_reservation: true",
        "dhcp_reservation: false",
        "dhcp_reservation",
        "static reservation",
    ),
    mistake("no name", VM, "host_a_record: true", "host_a_record: false", "host_a_record", "false", "expected true"),
    mistake("an alias with dots", VM, "- logs", "- logs.deevnet.net", "- logs.", "a DNS label"),
    mistake(
        "a gateway outside",
        VLANS,
        "gateway: 10.20.99.1\n",
        "gateway: 10.21.99.1\n",
        "gateway: 10.21.99.1",
        "an address in 10.20.99.0/24",
    ),
    mistake("a subnet in no form", VLANS, "subnet: 10.20.99.0/24", "subnet: 10.20.99.0/42", "/42", "an IPv4 subnet"),
    mistake(
        "a pool that runs down",
        VLANS,
        "dhcp_range_start: 10.20.10.100",
        "dhcp_range_start: 10.20.10.210",
        "dhcp_range_end: 10.20.10.200",
        "ends before it starts",
    ),
    mistake(
        "a segment without a subnet",
        VLANS,
        "    subnet: 10.20.99.0/24\n",
        "",
        "management:",
        "the subnet of a segment that VMs are in",
    ),
    mistake(
        "a segment without a gateway",
        VLANS,
        "gateway: 10.20.99.1\n",
        "gateway:\n",
        "gateway:",
        "the gateway of a segment that VMs are in",
    ),
    mistake(
        "a slip in a segment's name",
        VLANS,
        "  management:",
        "  managment:",
        "deevnet_vlans:",
        "no segment 'management', in which 10 VMs are",
        "did you mean 'managment'",
    ),
    mistake(
        "a hypervisor's address in no form",
        HV,
        "10.20.99.21",
        "10.20.99.421",
        "ip:",
        "'10.20.99.421'",
        "an IPv4 address",
    ),
    mistake(
        "a router without an address",
        "dvntm/host_vars/core-rt02.yml",
        "ip: 10.20.99.1",
        "ip: dhcp",
        "interfaces:",
        "no fixed address",
        "the core router's address",
    ),
    mistake("no segments", VLANS, "deevnet_vlans:", "old_vlans:", "all:", "deevnet_vlans", at=HOSTS),
]

PLACE_MISTAKES = [
    mistake("unknown bridge", DEFAULTS, "bridge: vmbr0", "bridge: vmbr1", "bridge:", "unknown bridge 'vmbr1'", "vmbr0"),
    mistake(
        "unknown template",
        DEFAULTS,
        "template: fedora-server-43",
        "template: fedora-server-44",
        "template:",
        "unknown template",
        "did you mean 'fedora-server-43'",
    ),
    mistake(
        "one VM's unknown template",
        VM,
        "  cores: 2",
        "  template: alpine\n  cores: 2",
        "template: alpine",
        "unknown template 'alpine'",
    ),
    mistake("unknown hypervisor", DEFAULTS, "hypervisor: hv01", "hypervisor: hv09", "hypervisor:", "'hv09'", "'hv01'"),
    mistake(
        "on the tenant hypervisor",
        VM,
        "  cores: 2",
        "  hypervisor: hv02\n  cores: 2",
        "hypervisor: hv02",
        "tenant hypervisor carries no management VM",
    ),
    mistake(
        "unknown storage", VM, "  cores: 2", "  storage: ceph\n  cores: 2", "storage: ceph", "unknown storage 'ceph'"
    ),
    mistake(
        "a template's storage",
        HV,
        "storage: local-lvm-big-thin",
        "storage: local-lvm",
        "storage: local-lvm",
        "unknown storage",
        "did you mean 'local-lvm-big-thin'",
    ),
    mistake("shared storage", HV, "type: dir", "type: nfs", "type: nfs", "'nfs'", "'dir'"),
    mistake(
        "unknown site hypervisor",
        SITE,
        "  hypervisor: hv01",
        "  hypervisor: hv03",
        "hypervisor: hv03",
        "unknown host 'hv03'",
    ),
    mistake(
        "unknown core router",
        SITE,
        "core_router: core-rt02",
        "core_router: core-rt09",
        "core_router",
        "unknown host 'core-rt09'",
        "did you mean 'core-rt02'",
    ),
    mistake(
        "one machine for both",
        SITE,
        "tenant_hypervisor: hv02",
        "tenant_hypervisor: hv01",
        "tenant_hypervisor",
        "another machine",
    ),
    mistake(
        "a VM as core router",
        SITE,
        "core_router: core-rt02",
        "core_router: oob-vm01",
        "core_router",
        "the management VM 'oob-vm01'",
    ),
    mistake(
        "unknown role",
        VM,
        "role: logs",
        "role: lgos",
        "role: lgos",
        "unknown role 'lgos'",
        "did you mean 'logs'",
    ),
    mistake("no role", VM, "  role: logs\n", "", "env:", "env.role", "found nothing"),
    mistake(
        "unknown group",
        VM,
        "  group: logs",
        "  group: lgos",
        "group: lgos",
        "unknown group 'lgos'",
        "did you mean 'logs'",
    ),
    mistake(
        "no category",
        VM,
        "  category: observability\n",
        "",
        "mgmt_vm:",
        "mgmt_vm.category",
        "observability, automation or access",
    ),
    mistake(
        "unknown category",
        VM,
        "category: observability",
        "category: network",
        "category:",
        "'network'",
        "'observability'",
    ),
    mistake(
        "two categories", VM, "category: observability", "category: [observability, access]", "category:", "a list"
    ),
    mistake(
        "unknown responsibility",
        VM,
        "responsibilities: [logs]",
        "responsibilities: [logs, loggs]",
        "responsibilities",
        "'loggs'",
        "did you mean 'logs'",
    ),
    mistake(
        "memory that does not fit",
        METRICS,
        "memory_mib: 4096",
        "memory_mib: 16384",
        "memory_mib",
        "metrics-vm01 the largest",
        "at most 32768 MiB",
    ),
    mistake(
        "a reserve that does not fit",
        HV,
        "host_reserve_gib: 4",
        "host_reserve_gib: 16",
        "memory_mib",
        "16384 MiB for the host",
        at=METRICS,
    ),
    mistake(
        "no anchor for TLS",
        HV,
        "    fingerprint: {file: ~/.config/mgmt-harness/dvntm/fingerprint}\n",
        "",
        "  api:",
        "exactly one of fingerprint, ca_file",
    ),
    mistake(
        "two anchors for TLS",
        HV,
        "    fingerprint:",
        "    ca_file: ca.pem\n    fingerprint:",
        "  api:",
        "exactly one of fingerprint, ca_file",
    ),
    mistake(
        "a fingerprint in no form",
        HV,
        "{file: ~/.config/mgmt-harness/dvntm/fingerprint}",
        "AB:CD",
        "fingerprint:",
        "'AB:CD'",
    ),
    mistake(
        "plain HTTP",
        HV,
        "https://hv01",
        "http://hv01",
        "url:",
        "'http://hv01.dvntm.deevnet.net:8006'",
        "https://name:8006",
    ),
    doubt(
        "a responsibility nobody has",
        VM,
        "responsibilities: [logs]",
        "responsibilities: [metrics]",
        "mgmt_site:",
        "a VM for logs",
        "planned",
        at=SITE,
    ),
]

CORE_MISTAKES = [
    mistake(
        "a role of the core", VM, "role: logs", "role: dns", "role: dns", "'dns'", "no core network service on a VM"
    ),
    mistake(
        "a DNS server's unit",
        VM,
        "  cores: 2",
        "  cores: 2\n  services: [{unit: unbound.service}]",
        "unbound",
        "core network service",
    ),
    mistake(
        "a DHCP server's port",
        VM,
        "  cores: 2",
        "  cores: 2\n  services: [{unit: x.service, ports: [67]}]",
        "67",
        "port 67",
        "core router",
    ),
    mistake(
        "a core responsibility",
        VM,
        "responsibilities: [logs]",
        "responsibilities: [logs, nat]",
        "responsibilities",
        "'nat'",
        "core network service",
    ),
    mistake(
        "in a core group",
        HOSTS,
        "            dns_servers:\n              hosts:\n",
        "            dns_servers:\n              hosts:\n                logs-vm01:\n",
        "logs-vm01:",
        "logs-vm01 in the group dns_servers",
    ),
]

SECRET_MISTAKES = [
    mistake(
        "a token as value",
        HV,
        "secret: {file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "secret: 1b6f7c2a-90aa-4bde-8f4c-0123456789ab",
        "secret: 1b6f",
        "a PVE token value (not shown)",
        "{file: PATH}",
    ),
    mistake(
        "a password as value",
        HV,
        "secret: {file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "secret: hunter2secret",
        "secret: hunter2",
        "a plain value (not shown)",
        "{vault: VARIABLE}",
    ),
    mistake(
        "a token in a key we do not know",
        VM,
        "  cores: 2",
        "  cores: 2\n  api_token: 1b6f7c2a-90aa-4bde-8f4c-0123456789ab",
        "api_token",
        "not shown",
    ),
    mistake(
        "a token as reason",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  planned: {metrics: 'token 1b6f7c2a-90aa-4bde-8f4c-0123456789ab'}\n",
        "planned",
        "not shown",
    ),
    mistake(
        "a private key",
        HV,
        "identity_file: ~/.ssh/a_autoprov_rsa",
        "identity_file: '-----BEGIN OPENSSH PRIVATE KEY-----'",
        "identity_file",
        "a private key (not shown)",
    ),
    mistake(
        "an encrypted value in place",
        HV,
        "secret: {file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "secret: !vault |\n          $ANSIBLE_VAULT;1.1;AES256\n          3365",
        "secret: !vault",
        "!vault value",
        "{vault: VARIABLE}",
    ),
    mistake(
        "two references",
        HV,
        "{file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "{file: a, env: B}",
        "secret: {file: a",
        "exactly one of env, file, command, vault",
    ),
    mistake(
        "an unknown reference",
        HV,
        "{file: ~/.config/mgmt-harness/dvntm/verify.token}",
        "{keepass: a}",
        "keepass",
        "unknown key",
    ),
]

WAIVER_MISTAKES = [
    mistake(
        "no reason",
        SITE,
        "mgmt_site:",
        WAIVER.replace("    reason: being repaired\n", "") + "mgmt_site:",
        "- clause",
        "reason",
        "why the clause does not apply here",
    ),
    mistake(
        "an empty reason",
        SITE,
        "mgmt_site:",
        WAIVER.replace("being repaired", "' '") + "mgmt_site:",
        "reason:",
        "a text that is not empty",
    ),
    mistake(
        "no end",
        SITE,
        "mgmt_site:",
        WAIVER.replace("    until: 2027-01-31\n", "") + "mgmt_site:",
        "- clause",
        "until",
        "the last day",
    ),
    mistake(
        "no date",
        SITE,
        "mgmt_site:",
        WAIVER.replace("2027-01-31", "soon") + "mgmt_site:",
        "until:",
        "'soon'",
        "a date such as",
    ),
    mistake(
        "no clause id",
        SITE,
        "mgmt_site:",
        WAIVER.replace("hardware.model", "The model") + "mgmt_site:",
        "- clause",
        "'The model'",
        "the id of a clause",
    ),
    mistake(
        "twice",
        SITE,
        "mgmt_site:",
        WAIVER + WAIVER.replace("mgmt_waivers:\n", "").replace("being", "still being") + "mgmt_site:",
        "  - clause: hardware.model",
        "a second waiver",
    ),
    doubt(
        "over",
        SITE,
        "mgmt_site:",
        WAIVER.replace("2027-01-31", "2026-01-31") + "mgmt_site:",
        "until:",
        "ended on 2026-01-31",
    ),
    mistake(
        "an exception without an end",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  exceptions: [{vmid: 900, reason: x}]\n",
        "exceptions",
        "the last day of the exception",
    ),
    mistake(
        "an exception for ours",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  exceptions: [{vmid: 2031, reason: x, until: 2027-01-31}]\n",
        "exceptions",
        "the management VM logs-vm01",
    ),
    mistake(
        "planning what is unknown",
        SITE,
        "mgmt_site:\n",
        "mgmt_site:\n  planned: {metric: later}\n",
        "planned",
        "unknown responsibility 'metric'",
        "did you mean 'metrics'",
    ),
]

TABLES = {
    "yaml": YAML_MISTAKES,
    "keys": KEY_MISTAKES,
    "mac": MAC_MISTAKES,
    "shared": SHARED_MISTAKES,
    "network": NETWORK_MISTAKES,
    "place": PLACE_MISTAKES,
    "core": CORE_MISTAKES,
    "secret": SECRET_MISTAKES,
    "waiver": WAIVER_MISTAKES,
}
CASES = [pytest.param(case, id=f"{table}: {case.name}") for table, cases in TABLES.items() for case in cases]


def known_doubts(problems: list[inventory.Problem]) -> set[tuple[str, str]]:
    return {(problem.file.name, problem.path) for problem in problems if problem.severity == "warning"}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """What the shipped sites are known not to know yet."""
    problems = inventory.check(copy_shipped(tmp_path_factory.mktemp("shipped"), *SITES), today=TODAY)
    assert [problem for problem in problems if problem.severity == "error"] == []
    return known_doubts(problems)


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_found_alone(case: Mistake, tmp_path: Path, shipped: set[tuple[str, str]]) -> None:
    folder = copy_shipped(tmp_path, *SITES)
    edited = folder / case.file
    text = edited.read_text()
    assert text.count(case.old) >= 1, f"{case.file} no longer holds {case.old!r}"
    edited.write_text(text.replace(case.old, case.new, 1))

    problems = inventory.check(folder, today=TODAY)
    found = [problem for problem in problems if problem.severity == "error"]
    found += [one for one in problems if one.severity == "warning" and (one.file.name, one.path) not in shipped]

    assert len(found) == 1, "\n".join(map(str, found))
    (problem,) = found
    assert problem.severity == case.severity
    at = folder / (case.at or case.file)
    assert problem.file == at
    assert case.line in at.read_text().splitlines()[problem.line - 1], str(problem)
    for word in case.words:
        assert word in str(problem)
    assert str(problem).startswith(f"{at}:{problem.line}: ")
    assert "1b6f7c2a" not in str(problem)
    assert "hunter2" not in str(problem)


def test_a_host_that_is_renamed_breaks_the_grammar(tmp_path: Path) -> None:
    folder = copy_shipped(tmp_path, *SITES)
    hosts = folder / HOSTS
    hosts.write_text(hosts.read_text().replace("logs-vm01", "logs_vm01"))
    (folder / VM).rename(folder / "dvntm/host_vars/logs_vm01.yml")
    (problem,) = [one for one in inventory.check(folder, ["dvntm"], today=TODAY) if one.severity == "error"]
    assert "the name 'logs_vm01'" in str(problem)
    assert "[role-]formNN" in str(problem)
    assert problem.file.name == "logs_vm01.yml"


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    """Ten mistakes of one folder in one answer, in the order of files and lines."""
    folder = copy_shipped(tmp_path, *SITES)
    chosen = [
        MAC_MISTAKES[5],
        NETWORK_MISTAKES[0],
        PLACE_MISTAKES[0],
        WAIVER_MISTAKES[0],
        CORE_MISTAKES[1],
        NETWORK_MISTAKES[16],
        PLACE_MISTAKES[21],
    ]
    for case in chosen:
        file = folder / case.file
        file.write_text(file.read_text().replace(case.old, case.new, 1))
    problems = [one for one in inventory.check(folder, today=TODAY) if one.severity == "error"]
    text = "\n".join(map(str, problems))
    # The address cannot be judged while its segment's own gateway is wrong.
    for case in [one for one in chosen if one is not NETWORK_MISTAKES[0]]:
        for word in case.words:
            assert word in text
    assert len(problems) == len(chosen) - 1, text
    assert problems == sorted(problems, key=lambda one: (str(one.file), one.line))


@pytest.mark.parametrize("file", [HV, VM, HOSTS, SITE, DEFAULTS])
def test_no_lost_line_ends_in_a_traceback(file: str, tmp_path: Path) -> None:
    """Whatever line is missing, the folder is judged, and what is judged sound can be resolved."""
    folder = copy_shipped(tmp_path, "dvntm")
    edited = folder / file
    lines = edited.read_text().splitlines(keepends=True)
    sound = 0
    for place in range(len(lines)):
        edited.write_text("".join(lines[:place] + lines[place + 1 :]))
        if not [problem for problem in inventory.check(folder, today=TODAY) if problem.severity == "error"]:
            sound += 1
            assert len(resolve(inventory.load(folder, "dvntm"), state_dir=tmp_path).guests) == 10
    assert sound < len(lines)


def test_load_refuses_with_the_count_and_the_first(tmp_path: Path) -> None:
    folder = copy_shipped(tmp_path, *SITES)
    for case in (MAC_MISTAKES[0], NETWORK_MISTAKES[0]):
        file = folder / case.file
        file.write_text(file.read_text().replace(case.old, case.new, 1))
    with pytest.raises(errors.Invalid) as caught:
        inventory.load(folder, "dvntm")
    assert "2 problems; the first: " in str(caught.value)
    assert f"{folder / VM}:6" in str(caught.value)
    assert "inventory.check" in str(caught.value)
    assert inventory.load(folder, "dvnt").site == "dvnt", "a site is not refused for another's mistakes"


def test_a_warning_refuses_nothing(tmp_path: Path) -> None:
    assert inventory.load(copy_shipped(tmp_path, "dvnt"), "dvnt").settings.status == "pending"


@pytest.mark.parametrize(
    ("prepare", "site", "words"),
    [
        (lambda folder: folder / "nowhere", "dvntm", ("there is no such folder", "--inventory")),
        (lambda folder: folder, "dvntn", ("there is no site 'dvntn'", "Choose one of dvnt, dvntm")),
        (lambda folder: folder / "dvntm" / "host_vars", "dvntm", ("it holds no site", "hosts.yml")),
    ],
    ids=["no folder", "no such site", "no sites"],
)
def test_a_wrong_request_says_what_there_is(
    prepare: Callable[[Path], Path], site: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    folder = prepare(copy_shipped(tmp_path, "dvnt", "dvntm"))
    with pytest.raises(errors.Invalid) as caught:
        inventory.load(folder, site)
    for word in words:
        assert word in str(caught.value)
