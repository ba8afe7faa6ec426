"""The platform is the documented one: Proxmox VE, Debian, and the machine below."""

import pytest

from harness.contract import Hardware, Hypervisor
from harness.observed import ObservedDisk, ObservedNode
from harness.verify.allowances import (
    describe_disk,
    describe_memory,
    describe_nic,
    has_disk,
    has_nic,
    least_memory_bytes,
    show_gib,
)
from harness.verify.expect import Expect
from harness.verify.host_facts import HostFacts

BOOTSTRAP = "./invoke bootstrap"
FIRMWARE = "Switch virtualization on in the firmware, and load kvm_intel or kvm_amd"
MACHINE = "Compare the machine with the inventory, and correct the one that is wrong"


@pytest.mark.clause("platform.pve-version")
def test_api_says_the_declared_version(node: ObservedNode, hypervisor: Hypervisor, expect: Expect) -> None:
    wanted = hypervisor.pve_version
    expect("Proxmox VE by its API", node.pve_version, wanted, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("platform.pve-version")
def test_package_has_the_declared_version(hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect) -> None:
    wanted = hypervisor.pve_version
    expect("package pve-manager", hypervisor_host.pve_manager, wanted, at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("platform.pve-version")
def test_package_is_held_there(hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect) -> None:
    held = hypervisor_host.held_packages
    expect.that("pve-manager" in held, "packages on hold", held, "pve-manager", at=hypervisor, do=BOOTSTRAP)


@pytest.mark.clause("platform.debian")
def test_runs_the_declared_debian(hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect) -> None:
    seen = (hypervisor_host.distribution, hypervisor_host.release, hypervisor_host.codename)
    declared = ("debian", hypervisor.debian_release, hypervisor.debian_codename)
    expect("base system", seen, declared, at=hypervisor, do="Install the hypervisor with that release")


@pytest.mark.clause("platform.debian")
def test_runs_on_the_declared_architecture(hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect) -> None:
    expect("architecture", hypervisor_host.architecture, hypervisor.architecture, at=hypervisor, do=MACHINE)


@pytest.mark.clause("platform.virtualization")
def test_processor_offers_virtualization(hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect) -> None:
    flags = hypervisor_host.virtualization_flags
    expect.that(bool(flags), "processor flags", flags, "vmx or svm", at=hypervisor, do=FIRMWARE)


@pytest.mark.clause("platform.virtualization")
def test_kvm_can_be_opened(hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect) -> None:
    expect("/dev/kvm can be opened", hypervisor_host.kvm_opens, True, at=hypervisor, do=FIRMWARE)


@pytest.mark.clause("platform.virtualization")
def test_api_sees_virtualization(node: ObservedNode, hypervisor: Hypervisor, expect: Expect) -> None:
    expect("hardware virtualization by the API", node.hvm, True, at=hypervisor, do=FIRMWARE)


@pytest.mark.clause("hardware.memory")
def test_kernel_has_the_declared_memory(
    hardware: Hardware, hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect
) -> None:
    seen, enough = hypervisor_host.memory_bytes, hypervisor_host.memory_bytes >= least_memory_bytes(hardware)
    expect.that(enough, "memory", show_gib(seen), describe_memory(hardware), at=hypervisor, do=MACHINE)


@pytest.mark.clause("hardware.memory")
def test_api_sees_the_declared_memory(
    hardware: Hardware, node: ObservedNode, hypervisor: Hypervisor, expect: Expect
) -> None:
    enough, seen = node.memory_bytes >= least_memory_bytes(hardware), show_gib(node.memory_bytes)
    expect.that(enough, "memory by the API", seen, describe_memory(hardware), at=hypervisor, do=MACHINE)


@pytest.mark.clause("hardware.disk")
def test_host_has_the_declared_disk(
    hardware: Hardware, hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect
) -> None:
    disks = hypervisor_host.disks
    expect.that(has_disk(disks, hardware), "disks", disks, describe_disk(hardware), at=hypervisor, do=MACHINE)


@pytest.mark.clause("hardware.disk")
def test_api_sees_the_declared_disk(
    hardware: Hardware, disks: tuple[ObservedDisk, ...], hypervisor: Hypervisor, expect: Expect
) -> None:
    seen = [f"{disk.path} {disk.size_bytes // 10**9} GB {disk.kind}" for disk in disks]
    expect.that(has_disk(disks, hardware), "disks by the API", seen, describe_disk(hardware), at=hypervisor, do=MACHINE)


@pytest.mark.clause("hardware.nic")
def test_a_link_is_up_at_the_declared_speed(
    hardware: Hardware, hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect
) -> None:
    nics = hypervisor_host.nics
    expect.that(has_nic(nics, hardware), "physical links", nics, describe_nic(hardware), at=hypervisor, do=MACHINE)


@pytest.mark.clause("hardware.model")
def test_is_the_declared_product(
    hardware: Hardware, hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect
) -> None:
    declared, seen = hardware.product or "a product in mgmt_hypervisor.hardware", hypervisor_host.product
    expect.that(hardware.product is not None and declared in seen, "product", seen, declared, at=hypervisor, do=MACHINE)


@pytest.mark.clause("hardware.model")
def test_has_the_declared_processor(
    hardware: Hardware, hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect
) -> None:
    declared, seen = hardware.cpu_model or "a processor in mgmt_hypervisor.hardware", hypervisor_host.cpu_model
    expect.that(
        hardware.cpu_model is not None and declared in seen, "processor", seen, declared, at=hypervisor, do=MACHINE
    )


@pytest.mark.clause("hardware.model")
def test_has_the_declared_cores_and_threads(
    hardware: Hardware, hypervisor_host: HostFacts, hypervisor: Hypervisor, expect: Expect
) -> None:
    seen, declared = (hypervisor_host.cores, hypervisor_host.threads), (hardware.cores, hardware.threads)
    expect("cores and threads", seen, declared, at=hypervisor, do=MACHINE)
