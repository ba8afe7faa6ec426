"""Faults of the hypervisor itself: its release, its hardware, and what bootstrap leaves on it."""

from __future__ import annotations

from tests.faults.bench import HYPERVISOR
from tests.faults.fault import Fault
from tests.faults.machine import FOLDER, KVM, NO_KVM
from tests.faults.ways import Way, answered, called, declared, edited, ran, removed, together, written

HOST = "host_vars/hv01.yml"
SSHD, CHRONY = "/etc/ssh/sshd_config.d/00-mgmt-harness.conf", "/etc/chrony/sources.d/mgmt-harness.sources"
UNAME = "/usr/local/bin/uname"  # before the real one in the path of those who log in
VERSION, POST = ("platform.pve-version",), ("bootstrap.post-config",)


def machine(name: str, pattern: str, new: str) -> Way:
    return edited(HYPERVISOR, f"{FOLDER}/{name}", pattern, new)


PLATFORM = (
    Fault(
        "pve-manager 8.4.0, as the ISO has it",
        VERSION,
        "package pve-manager: expected 8.4.1, seen 8.4.0",
        edited(HYPERVISOR, "/var/lib/dpkg/status", r"(?s)(Package: pve-manager\n.*?\nVersion: )8\.4\.1", r"\g<1>8.4.0"),
    ),
    Fault(
        "pve-manager not on hold",
        (*VERSION, *POST),
        "packages on hold: expected pve-manager, seen none",
        ran(HYPERVISOR, "apt-mark unhold pve-manager", "apt-mark hold pve-manager"),
    ),
    Fault(
        "Debian 13",
        ("platform.debian",),
        "base system: expected debian, 12, bookworm, seen debian, 13, trixie",
        edited(
            HYPERVISOR,
            "/usr/lib/os-release",
            r'(?s)VERSION_ID="12"(.*)CODENAME=bookworm',
            r'VERSION_ID="13"\1CODENAME=trixie',
        ),
    ),
    Fault(
        "another architecture",
        ("platform.debian",),
        "architecture: expected x86_64, seen aarch64",
        written(HYPERVISOR, UNAME, "#!/bin/sh\necho aarch64\n", then=f"test ! -e {UNAME} || chmod 755 {UNAME}"),
    ),
    Fault(
        "virtualization switched off in the firmware",
        ("platform.virtualization",),
        "processor flags: expected vmx or svm, seen none",
        together(machine("lscpu", " vmx", ""), machine("cpuinfo", " vmx", "")),
    ),
    Fault(
        "KVM cannot be opened",
        ("platform.virtualization",),
        "/dev/kvm can be opened: expected yes, seen no",
        ran(HYPERVISOR, NO_KVM, KVM),
    ),
    Fault(
        "half of the memory",
        ("hardware.memory",),
        "memory: expected 32 GiB installed",
        machine("meminfo", r"MemTotal:.*", "MemTotal: 16252928 kB"),
    ),
    Fault(
        "a small disk",
        ("hardware.disk",),
        "disks: expected one disk of 1000 GB or more, solid state, seen nvme0n1 500 GB",
        together(machine("lsblk", "1000204886016", "500107862016"), machine("block/nvme0n1/size", r"\d+", "976773168")),
    ),
    Fault(
        "a disk with moving parts",
        ("hardware.disk",),
        "seen nvme0n1 1000 GB rotating",
        together(
            machine("lsblk", "false", "true"),
            answered("/nodes/hv01/disks/list", [{"devpath": "/dev/sda", "type": "hdd", "size": 1000204886016}]),
        ),
    ),
    Fault(
        "a link at 100 Mbit/s",
        ("hardware.nic",),
        "seen eno1 up at 100 Mbit/s",
        machine("class/net/eno1/speed", "1000", "100"),
    ),
    Fault(
        "another link's model",
        ("hardware.nic",),
        "expected one link up at 1000 Mbit/s or faster, I219-LM",
        machine("lspci", "I219-LM", "I225-V"),
    ),
    Fault(
        "another machine",
        ("hardware.model",),
        "product: expected OptiPlex 7050, seen OptiPlex 3040",
        machine("class/dmi/id/product_name", "7050", "3040"),
    ),
    Fault(
        "another processor",
        ("hardware.model",),
        "processor: expected i7-6700T, seen Intel(R) Core(TM) i5-6500T",
        machine("lscpu", "i7-6700T", "i5-6500T"),
    ),
    Fault(
        "hyper-threading switched off",
        ("hardware.model",),
        "cores and threads: expected 4, 8, seen 4, 4",
        machine("lscpu", r"CPU\(s\):( +)8", r"CPU(s):\g<1>4"),
    ),
)

BOOTSTRAP = (
    Fault(
        "a package repository that nobody declared",
        POST,
        "enabled package repositories: expected deb http://198.18.99.1/packages ./, seen",
        written(
            HYPERVISOR, "/etc/apt/sources.list.d/pve-test.list", "deb http://198.18.99.1/testing bookworm pvetest\n"
        ),
    ),
    Fault(
        "no pin on the declared release",
        POST,
        "pinned versions of pve-manager: expected 8.4.1, seen none",
        removed(HYPERVISOR, "/etc/apt/preferences.d/mgmt-harness"),
    ),
    Fault(
        "another time server",
        POST,
        "time servers: expected 198.18.99.1, seen 198.18.99.1, 198.18.99.77",
        written(
            HYPERVISOR,
            "/etc/chrony/sources.d/other.sources",
            "server 198.18.99.77 iburst\n",
            then="chronyc reload sources",
        ),
    ),
    Fault(
        "a clock that nobody keeps",
        POST,
        "time server the clock follows: expected one, seen none",
        ran(HYPERVISOR, "systemctl stop chrony", "systemctl start chrony"),
    ),
    Fault(
        "passwords over SSH",
        POST,
        "how sshd lets somebody in: expected pubkeyauthentication: yes",
        edited(HYPERVISOR, SSHD, r"PasswordAuthentication no", "PasswordAuthentication yes"),
    ),
    Fault(
        "root by password over SSH",
        POST,
        "PermitRootLogin: expected prohibit-password, seen yes",
        edited(HYPERVISOR, SSHD, r"PermitRootLogin .*", "PermitRootLogin yes"),
    ),
    Fault(
        "a storage for something else",
        POST,
        "content of the storages: expected local: backup, import, iso, snippets, vztmpl",
        called("PUT", "/storage/local", content="backup,iso,vztmpl,import"),
    ),
    Fault(
        "a role that may more",
        POST,
        "changes due to the roles: expected none, seen role MgmtProvision",
        called("PUT", "/access/roles/MgmtProvision", privs="VM.Migrate", append="1"),
    ),
    Fault(
        "a user that is switched off",
        POST,
        "changes due to the users: expected none, seen user provision@pve: enabled, without an end",
        called("PUT", "/access/users/provision@pve", enable="0"),
    ),
    Fault(
        "a token with all of its user's rights",
        POST,
        "changes due to the tokens: expected none, seen token provision@pve!harness: privileges separated",
        called("PUT", "/access/users/provision@pve/token/harness", privsep="0"),
    ),
    Fault(
        "a token that nobody declared",
        POST,
        "tokens that are not declared: expected none, seen provision@pve!other",
        called("POST", "/access/users/provision@pve/token/other"),
    ),
    Fault(
        "a grant that nobody declared",
        POST,
        "changes due to who may do what: expected none, seen provision@pve no longer MgmtAudit on /vms",
        called("PUT", "/access/acl", path="/vms", roles="MgmtAudit", users="provision@pve"),
    ),
    Fault(
        "the template outside its pool",
        POST,
        "changes due to the pool: expected none, seen template",
        called("PUT", "/pools/mgmt", vms="9000", delete="1"),
    ),
    Fault(
        "a backup job at another hour",
        POST,
        "changes due to the backup job: expected none, seen backup job nightly: schedule",
        called("PUT", "/cluster/backup/nightly", schedule="04:00"),
    ),
    Fault(
        "VMs in VMs, and nobody declared them",
        POST,
        "VMs in VMs asked for in /etc/modprobe.d: expected no, seen yes",
        written(HYPERVISOR, "/etc/modprobe.d/nested.conf", "options kvm_intel nested=1\n"),
    ),
    Fault(
        "VMs in VMs asked for, and KVM not loaded again since",
        POST,
        "VMs in VMs: expected yes, seen no",
        together(
            declared((HOST, '  pve_version: "8.4.1"\n', '  pve_version: "8.4.1"\n  nested: true\n')),
            written(HYPERVISOR, "/etc/modprobe.d/nested.conf", "options kvm_intel nested=1\n"),
        ),
    ),
)

FAULTS = (*PLATFORM, *BOOTSTRAP)
