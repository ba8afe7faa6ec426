"""The hypervisor's own words become values, and hardware is allowed to keep something back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.contract import Hardware
from harness.observed import ObservedDisk
from harness.verify.allowances import describe_memory, has_disk, has_nic, least_memory_bytes
from harness.verify.host_facts import HostDisk, HostFacts
from tests.verify.answers import LSBLK, LSCPU, NICS, OS_RELEASE, answers

WANTED = Hardware(None, 32768, 1000, True, 1000, "I219-LM", "OptiPlex 7050", "i7-6700T", 4, 8)


def facts(*, rc: dict[str, int] | None = None, **said: str) -> HostFacts:
    return HostFacts(answers(said, rc))


@pytest.mark.parametrize(
    ("output", "rc", "version"),
    [("hi |8.4.1", 0, "8.4.1"), ("ii |8.4.0", 0, "8.4.0"), ("rc |8.4.1", 0, None), ("no packages found", 1, None)],
)
def test_a_package_that_is_only_half_there_is_not_installed(output: str, rc: int, version: str | None) -> None:
    assert facts(rc={"pve-manager": rc}, pve_manager=output).pve_manager == version


def test_debian_is_read_from_os_release() -> None:
    seen = facts(os_release=OS_RELEASE)
    assert (seen.distribution, seen.release, seen.codename) == ("debian", "12", "bookworm")


def test_the_processor_is_read_from_lscpu() -> None:
    seen = facts(cpu=LSCPU)
    assert ("i7-6700T" in seen.cpu_model, seen.cores, seen.threads, seen.virtualization_flags) == (
        True,
        4,
        8,
        frozenset({"vmx"}),
    )


def test_disks_are_whole_disks() -> None:
    assert [disk.name for disk in facts(disks=LSBLK).disks] == ["zram0", "nvme0n1"]


def test_network_mounts_are_told_from_local_ones() -> None:
    text = "/dev/mapper/pve-root / ext4 rw 0 0\n/dev/fuse /etc/pve fuse rw 0 0\nnas:/vm /mnt/pve/nas nfs4 rw 0 0"
    assert facts(mounts=text).network_mounts == ("nas:/vm on /mnt/pve/nas (nfs4)",)


def test_kvm_opens_or_not_by_the_status_of_the_command() -> None:
    assert facts(kvm="usable").kvm_opens is True
    assert facts(rc={"kvm": 1}, kvm="").kvm_opens is False


@pytest.mark.parametrize(("gib", "enough"), [(31.1, True), (30.0, True), (29.9, False), (23.4, False)])
def test_what_the_firmware_keeps_is_allowed_for_and_a_missing_module_is_not(gib: float, enough: bool) -> None:
    seen = facts(memory=f"MemTotal:       {int(gib * 2**20)} kB").memory_bytes
    assert (seen >= least_memory_bytes(WANTED)) is enough
    assert describe_memory(WANTED) == "32 GiB installed, of which the kernel has at least 30.0 GiB"


@pytest.mark.parametrize(
    ("disk", "fits"),
    [
        (HostDisk("nvme0n1", 1000204886016, rotating=False), True),
        (HostDisk("sda", 1000204886016, rotating=True), False),
        (HostDisk("sda", 960197124096, rotating=False), False),
        (ObservedDisk("/dev/nvme0n1", "nvme", 1000204886016, "s"), True),
        (ObservedDisk("/dev/sda", "unknown", 1000204886016, "s"), False),
    ],
)
def test_a_disk_must_be_large_and_solid(disk: HostDisk | ObservedDisk, fits: bool) -> None:
    assert has_disk([disk], WANTED) is fits
    assert has_disk([], WANTED) is False


def test_a_link_must_be_up_fast_and_of_its_model() -> None:
    nics = facts(nics=NICS).nics
    assert has_nic(nics, WANTED)
    assert not has_nic(nics, replace(WANTED, nic_speed_mbit=2500))
    assert not has_nic(nics, replace(WANTED, nic_model="I225-V"))
    assert not has_nic([replace(nic, up=False) for nic in nics], WANTED)
    assert has_nic(nics, replace(WANTED, nic_model=None))
