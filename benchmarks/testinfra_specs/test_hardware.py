"""The machine below the hypervisor."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from testinfra.host import Host

from benchmarks.testinfra_specs.promised import EXPECTED, NODE, Values, waived

testinfra_hosts = [f"ssh://{EXPECTED['hypervisor']}"]
Api = Callable[[str], Any]
WANTED: Values = EXPECTED["hardware"]


@pytest.fixture(scope="module")
def cpu(host: Host) -> dict[str, str]:
    rows = (line.partition(":") for line in host.check_output("lscpu").splitlines())
    return {key.strip(): value.strip() for key, _, value in rows}


# clause platform.virtualization: processor_offers_virtualization, kvm_can_be_opened, api_sees_virtualization
@waived("platform.virtualization")
def test_processor_offers_virtualization(cpu: dict[str, str]) -> None:
    assert {"vmx", "svm"} & set(cpu["Flags"].split())


@waived("platform.virtualization")
def test_kvm_can_be_opened(host: Host) -> None:
    assert host.run("test -c /dev/kvm && : <>/dev/kvm").succeeded


@waived("platform.virtualization")
def test_api_sees_virtualization(api: Api) -> None:
    assert api(f"{NODE}/status")["cpuinfo"]["hvm"] in (1, "1")


# clause hardware.memory: kernel_has_the_declared_memory, api_sees_the_declared_memory
@waived("hardware.memory")
def test_kernel_has_the_declared_memory(host: Host) -> None:
    assert int(host.check_output("grep MemTotal: /proc/meminfo").split()[1]) * 1024 >= WANTED["memory_bytes"]


@waived("hardware.memory")
def test_api_sees_the_declared_memory(api: Api) -> None:
    assert api(f"{NODE}/status")["memory"]["total"] >= WANTED["memory_bytes"]


# clause hardware.disk: host_has_the_declared_disk, api_sees_the_declared_disk
@waived("hardware.disk")
def test_host_has_the_declared_disk(host: Host) -> None:
    disks = json.loads(host.check_output("lsblk -J -b -d -o NAME,TYPE,SIZE,ROTA"))["blockdevices"]
    large = [one for one in disks if one["type"] == "disk" and one["size"] >= WANTED["disk_bytes"]]
    assert [one for one in large if not (one["rota"] and WANTED["solid_state"])]


@waived("hardware.disk")
def test_api_sees_the_declared_disk(api: Api) -> None:
    large = [one for one in api(f"{NODE}/disks/list") if one["size"] >= WANTED["disk_bytes"]]
    assert [one for one in large if one["type"] in ("ssd", "nvme") or not WANTED["solid_state"]]


# clause hardware.nic: a_link_is_up_at_the_declared_speed
@waived("hardware.nic")
def test_a_link_is_up_at_the_declared_speed(host: Host) -> None:
    speeds = host.run("grep -H . /sys/class/net/*/device/net/*/speed").stdout.splitlines()
    fast = [line.split("/")[4] for line in speeds if int(line.rpartition(":")[2]) >= WANTED["nic_speed"]]
    assert [one for one in fast if host.file(f"/sys/class/net/{one}/operstate").content_string.strip() == "up"]
    assert WANTED["nic_model"] in host.run("lspci").stdout


# clause hardware.model: is_the_declared_product, has_the_declared_processor, has_the_declared_cores_and_threads
@waived("hardware.model")
def test_is_the_declared_product(host: Host) -> None:
    assert WANTED["product"] in host.file("/sys/class/dmi/id/product_name").content_string


@waived("hardware.model")
def test_has_the_declared_processor(cpu: dict[str, str]) -> None:
    assert WANTED["cpu_model"] in cpu["Model name"]


@waived("hardware.model")
def test_has_the_declared_cores_and_threads(cpu: dict[str, str]) -> None:
    cores = int(cpu["Core(s) per socket"]) * int(cpu["Socket(s)"])
    assert (cores, int(cpu["CPU(s)"])) == (WANTED["cores"], WANTED["threads"])
