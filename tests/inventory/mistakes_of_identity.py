"""Mistakes in MACs, and in what must be unique over all sites."""

from __future__ import annotations

from tests.inventory.mistakes import HV, MAC, NAMESPACE, VM, mistake

MAC_MISTAKES = [
    mistake("a hypervisor's MAC", HV, "d8:9e:f3:7d:94:c4", "d8:9e:f3:7d:94", "mac:", "'d8:9e:f3:7d:94'", "six bytes"),
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
