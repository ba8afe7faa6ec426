"""Mistakes in what templates are made of, and in the VM that proves them."""

from __future__ import annotations

from tests.inventory.mistakes import HV, Mistake, mistake

LAB_SITE = "lab/group_vars/all/mgmt.yml"
LAB_HV = "lab/host_vars/hv01.yml"
SCRATCH = "lab/host_vars/scratch-vm01.yml"
SUM = "sha256:" + "ab" * 32
AT = "      user: a_autoprov\n"


def image(text: str, vmid: str = "      vmid: 9043\n") -> str:
    return f"{AT}{vmid}      image:\n        {text}\n"


def of_image(name: str, text: str, line: str, *words: str, vmid: str = "      vmid: 9043\n") -> Mistake:
    return mistake(name, HV, AT, image(text, vmid), line, *words)


def of_scratch(name: str, old: str, new: str, line: str, *words: str) -> Mistake:
    return mistake(name, SCRATCH, old, new, line, *words)


TEMPLATE_MISTAKES = [
    of_image("no checksum", "url: http://artifacts/a.qcow2", "image:", "exactly one of checksum, checksum_file"),
    of_image(
        "a checksum without its kind",
        f"{{url: 'http://artifacts/a.qcow2', checksum: {'ab' * 32}}}",
        "checksum",
        "checksum",
        "sha256",
    ),
    of_image("no source", f"checksum: {SUM}", "image:", "exactly one of file, url"),
    of_image(
        "two sources",
        f"{{url: 'http://artifacts/a.qcow2', file: a.qcow2, checksum: '{SUM}'}}",
        "image:",
        "exactly one of file, url",
    ),
    of_image("an address of no image", f"{{url: 'http://artifacts/a.iso', checksum: '{SUM}'}}", "a.iso", "url"),
    of_image(
        "an address with a password",
        f"{{url: 'http://me:hunter2@artifacts/a.qcow2', checksum: '{SUM}'}}",
        "image:",
        "without a user and a password",
    ),
    of_image(
        "an image without a number",
        f"{{file: a.raw, checksum: '{SUM}'}}",
        "fedora-server-43:",
        "a vmid beside image",
        vmid="",
    ),
    of_image(
        "an unknown storage for it",
        f"{{file: a.raw, checksum: '{SUM}', storage: locl}}",
        "storage: locl",
        "'locl'",
        "did you mean 'local'",
    ),
    of_image(
        "a storage that takes no images",
        f"{{file: a.raw, checksum: '{SUM}', storage: local-lvm-big-thin}}",
        "storage: local-lvm-big-thin",
        "one of local",
    ),
    of_image(
        "an unknown bridge for it",
        f"{{file: a.raw, checksum: '{SUM}', bridge: vmbr1}}",
        "bridge: vmbr1",
        "'vmbr1'",
        "did you mean 'vmbr0'",
    ),
    mistake("a finding nobody may accept", LAB_HV, "        host-keys: ", "        agent: ", "agent:", "agent"),
    mistake(
        "a scratch number that is taken", LAB_SITE, "vmid: 199", "vmid: 130", "vmid: 130", "management VM metrics-vm01"
    ),
    mistake("the template's number for scratch", LAB_SITE, "vmid: 199", "vmid: 9000", "vmid: 9000", "debian-lab-12"),
    mistake("no scratch number", LAB_SITE, "  scratch_vmid: 199", "  #", "scratch_host", "scratch_vmid beside it"),
    mistake("an unknown scratch host", LAB_SITE, "scratch-vm01", "scratch-vm02", "scratch_host", "'scratch-vm01'"),
    mistake("a scratch host with a part", LAB_SITE, "scratch-vm01", "hv02", "scratch_host", "a part of its own"),
    of_scratch("no reservation for it", "reservation: true", "reservation: false", "env:", "dhcp_reservation"),
    of_scratch("a machine's MAC for it", "02:de:99:00:fe:01", "d8:9e:f3:7d:94:99", "mac:", "locally administered"),
    of_scratch("an address of no bridge", "198.18.99.49", "198.18.98.49", "ip:", "an address on a bridge of hv01"),
]
