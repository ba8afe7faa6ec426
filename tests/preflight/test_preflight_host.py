"""What the hypervisor says of itself is judged by its words, and each failure says what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from harness.contract import Hypervisor, Packages, Record
from harness.preflight import host
from harness.preflight.model import Finding
from harness.verify.host_facts import HostFacts
from tests.preflight.values import INODES, SPACE, contract, facts, hypervisor, only, packages, states
from tests.verify.answers import OS_RELEASE, answers

TRIXIE = OS_RELEASE.replace("12", "13").replace("bookworm", "trixie")
Judge = Callable[[Hypervisor, HostFacts], Iterator[Finding]]


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        ({}, "ok", "pve-manager 8.4.1 on debian 12 (bookworm)"),
        ({"pve_manager": "ii |8.4.0"}, "note", "8.4.0 is installed, declared is 8.4.1: bootstrap brings it there"),
        ({"pve_manager": "ii |9.0.3", "os_release": TRIXIE}, "failed", "pve-manager 9.0.3 on debian 13 (trixie)"),
        ({"pve_manager": "ii |8.3.5"}, "failed", "this tool is for 8.4 here"),
        ({"pve_manager": "ii |8.4.1", "os_release": TRIXIE}, "failed", "declared is Debian bookworm"),
        ({"pve_manager": "rc |8.4.1"}, "failed", "without pve-manager: it is no Proxmox VE host"),
        ({"architecture": "aarch64"}, "failed", "aarch64, declared is x86_64"),
    ],
)
def test_only_the_declared_series_is_accepted(said: dict[str, str], state: str, words: str) -> None:
    found = only(host.judge_release(hypervisor(), facts(said)))
    assert found.state == state
    assert words in str(found)


def test_a_cluster_member_is_named() -> None:
    seen = facts({"corosync_files": "/etc/pve/corosync.conf", "corosync_unit": "active"})
    found = only(host.judge_alone(hypervisor(), seen, "office"))
    assert str(found) == (
        "hv01 is a member of the cluster office (/etc/pve/corosync.conf). "
        "Choose a stand-alone host: this tool never changes a cluster member."
    )
    assert states(host.judge_alone(hypervisor(), facts({"corosync_unit": "active"}), "")) == ["failed"]
    assert states(host.judge_alone(hypervisor(), facts(), "")) == ["ok"]


@pytest.mark.parametrize(
    ("judge", "said", "words"),
    [
        (host.judge_memory, {"memory": "MemTotal:       16306172 kB"}, "the kernel has 15.6 GiB; declared is 32 GiB"),
        (host.judge_disk, {"disks": '{"blockdevices": []}'}, "no disk is seen; declared is one disk of 1000 GB"),
        (host.judge_nic, {"nics": "eno1|up|100|Intel I219-LM"}, "eno1 up at 100 Mbit/s"),
        (host.judge_model, {"product": "OptiPlex 3050"}, "product OptiPlex 3050; declared is product OptiPlex 7050"),
        (host.judge_virtualization, {"cpu": "CPU(s): 8\nFlags: fpu sse2"}, "shows neither vmx nor svm"),
    ],
)
def test_hardware_that_falls_short_says_by_how_much(judge: Judge, said: dict[str, str], words: str) -> None:
    assert states(judge(hypervisor(), facts())) == ["ok"]
    found = only(judge(hypervisor(), facts(said)))
    assert (found.state, words in found.said, bool(found.do)) == ("failed", True, True)


def test_every_part_of_the_model_that_differs_is_said() -> None:
    cpu = "CPU(s): 4\nCore(s) per socket: 4\nSocket(s): 1\nModel name: i5-6500T\nFlags: vmx"
    seen = facts({"product": "NUC", "cpu": cpu})
    assert [one.said.split(";")[0] for one in host.judge_model(hypervisor(), seen)] == [
        "hv01: product NUC",
        "hv01: processor i5-6500T",
        "hv01: threads 4",
    ]


# As dpkg of Debian 12 prints it.
AUDIT = """\
The following packages are only half configured, probably due to problems
configuring them the first time.  The configuration should be retried using
dpkg --configure <package> or the configure menu option in dselect:
 pve-manager          Proxmox Virtual Environment Management Tools"""
BROKEN = """\
You might want to run 'apt --fix-broken install' to correct these.
The following packages have unmet dependencies:"""


@pytest.mark.parametrize(
    ("said", "rc", "words"),
    [
        ({"audit": AUDIT}, {}, "not done with pve-manager. Run `dpkg --configure -a` on hv01"),
        ({"interrupted": "/var/lib/dpkg/updates/0001"}, {}, "dpkg was interrupted on hv01. Run `dpkg --configure -a`"),
        ({"dependencies": BROKEN}, {"dependencies": 100}, "Run `apt-get --fix-broken install` on hv01"),
        ({"audit": "dpkg: error: parsing file"}, {"audit": 2}, "`dpkg --audit` on hv01 says: dpkg: error"),
    ],
)
def test_a_package_system_that_is_not_at_rest_is_named(said: dict[str, str], rc: dict[str, int], words: str) -> None:
    assert words in str(only(host.judge_packages("hv01", packages(said, rc))))


def test_a_package_system_at_rest_is_well() -> None:
    assert states(host.judge_packages("hv01", packages())) == ["ok"]


def test_a_full_file_system_is_named_once() -> None:
    full = SPACE.replace("89247236       5% /", "  512000     100% /")
    found = only(host.judge_space("hv01", packages({"space": full})))
    assert found.said == "/ of hv01 has 500 MiB free, needed are 1024"
    crowded = only(host.judge_space("hv01", packages({"inodes": INODES.replace("6211456", "12")})))
    assert crowded.said == "/ of hv01 has 12 inodes free"
    assert states(host.judge_space("hv01", packages())) == ["ok"]


def test_a_file_system_that_counts_no_inodes_is_not_full() -> None:
    btrfs = INODES.replace("6291456 80000 6211456    2%", "0 0 0    -")
    assert states(host.judge_space("hv01", packages({"inodes": btrfs}))) == ["ok"]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("hv01\n198.18.99.21", None),
        ("hv01\n127.0.1.1", "leads to 127.0.1.1, declared is 198.18.99.21"),
        ("hv01", "leads to nothing"),
        ("pve\n198.18.99.21", "calls itself pve, declared is the node hv01"),
    ],
)
def test_the_host_must_know_itself_by_its_address(output: str, words: str | None) -> None:
    found = only(host.judge_own_name(hypervisor(), answers({"own-name": output}).answer("own-name")))
    assert (found.state == "ok") if words is None else (words in found.said and "/" in found.do)


def test_artifacts_are_where_the_inventory_says() -> None:
    plain = contract()
    assert host.artifact_servers(plain) == []
    line = "deb [signed-by=/k] http://198.18.99.1:8080/packages bookworm main"
    repositories = Packages((line, line.replace("packages", "debian"), "deb file:/srv ./", "deb https://x/ b m"), None)
    named = Record("CNAME", "artifacts.lab.deevnet.net", "hv01.lab.deevnet.net")
    site = replace(plain, records=(named,), hypervisor=replace(plain.hypervisor, packages=repositories))
    assert host.artifact_servers(site) == [("artifacts.lab.deevnet.net", 80), ("198.18.99.1", 8080)]


@pytest.mark.parametrize(
    ("output", "state"),
    [
        ("HTTP/1.1 200 OK\n", "ok"),
        ("HTTP/1.0 404 Not Found", "ok"),
        ("HTTP/1.1 503 Busy", "failed"),
        ("", "failed"),
        ("bash: connect: Connection refused", "failed"),
    ],
)
def test_an_artifact_server_must_answer_as_a_web_server(output: str, state: str) -> None:
    answer = answers({"knock": output}).answer("knock")
    assert states(host.judge_artifacts("artifacts.lab.deevnet.net", answer)) == [state]
