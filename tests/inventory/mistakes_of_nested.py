"""Mistakes in how a nested site's hypervisor is installed."""

from __future__ import annotations

from tests.inventory.mistakes import Mistake, mistake

NESTED = "nested/group_vars/all/nested.yml"
IMAGE = "/var/cache/mgmt-nested/images/debian-nested-12.qcow2"
SUM = f"sha256:{'ab' * 32}"
KEYS = "/var/cache/mgmt-nested/keys"
HV = "nested/host_vars/hv01.yml"
SHA = "d237d70ca48a9f6eb47f95fd4fd337722c3f69f8106393844d027d28c26523d8"


def of_nested(name: str, old: str, new: str, line: str, *words: str) -> Mistake:
    return mistake(name, NESTED, old, new, line, *words)


NESTED_MISTAKES = [
    of_nested("no checksum", f"    sha256: {SHA}\n", "", "iso:", "mgmt_nested.iso.sha256", "nothing"),
    of_nested("a short checksum", SHA, SHA[:40], "sha256", "mgmt_nested.iso.sha256", SHA[:40]),
    of_nested("a file and a url", "  iso:\n", "  iso:\n    file: a.iso\n", "iso:", "exactly one of file, url"),
    of_nested("an address with a password", "https://", "https://me:hunter2@", "iso:", "without a user"),
    of_nested("another firmware", "firmware: bios", "firmware: efi", "firmware", "machine.firmware", "'efi'"),
    of_nested("too little memory for any", "memory_mib: 8192", "memory_mib: 512", "memory_mib", "at least 1024"),
    of_nested("no room for its VMs", "memory_mib: 8192", "memory_mib: 4096", "memory_mib", "5632 MiB"),
    of_nested("a small disk", "disk_gib: 64", "disk_gib: 7", "disk_gib", "at least 8"),
    of_nested("a system larger than its disk", "swapsize: 0", "hdsize: 65", "lvm:", "at most machine.disk_gib, 64"),
    of_nested("an image of no template", "debian-nested-12:", "debian-nested:", "debian-nested:", "debian-nested-12"),
    of_nested("an image of half a gigabyte", "disk_gib: 4}", "disk_gib: 0}", "disk_gib: 0", "at least 2"),
    mistake("an image without its place", HV, f"        checksum_file: {IMAGE}.sha256\n", f"        checksum: {SUM}\n",
            "debian-nested-12", "image.checksum_file", at=NESTED),
    of_nested("no country", "    country: us\n", "", "answer:", "mgmt_nested.answer.country", "nothing"),
    of_nested("a country in capitals", "country: us", "country: US", "country", "'US'", "two lowercase letters"),
    of_nested("a keyboard that is none", "country: us", "country: us\n    keyboard: qwerty", "keyboard", "'qwerty'"),
    of_nested("a zone that is none", "country: us", "country: us\n    timezone: CET", "timezone", "'CET'"),
    of_nested("the example's mail address", "root@nested.deevnet.net", "mail@example.invalid", "mailto", "mailto"),
    of_nested("sizes of another file system", "country: us", "country: us\n    filesystem: zfs", "answer:", "no lvm"),
    of_nested("a key of ours among them", "country: us", "country: us\n    fqdn: a.b", "fqdn", "an unknown key"),
    mistake("no key for root", HV, f"    identity_file: {KEYS}/id_ed25519\n", "", "ssh:", "root's key on it"),
    mistake("no password", HV, f"    password: {{file: {KEYS}/root.password}}\n", "", "ssh:", "root's password on it"),
]  # fmt: skip
