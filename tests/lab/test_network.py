"""The lab's router is a real one: what is declared is answered, what is not is not."""

from __future__ import annotations

from dataclasses import replace

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.reversename
import pytest

from harness import lab
from harness.errors import HarnessError
from harness.lab import LabSpec, LabStatus
from tests.lab.client import LOGS, METRICS, Api, shell, wait

pytestmark = pytest.mark.lab


def answered(question: dns.message.Message) -> dns.message.Message | None:
    """None when the question was lost: dnsmasq needs a moment to start again."""
    try:
        return dns.query.udp(question, "198.18.99.1", timeout=1)
    except dns.exception.Timeout:
        return None


def ask(name: str, kind: str = "A") -> tuple[str, list[str]]:
    """The router's answer: its code and its records' values."""
    answer = wait(lambda: answered(dns.message.make_query(name, kind)), deadline_s=10, what="answer from the router")
    return dns.rcode.to_text(answer.rcode()), [record.to_text() for group in answer.answer for record in group]


def test_names_resolve_both_ways(running_lab: LabStatus) -> None:
    assert ask(f"{METRICS.name}.lab.deevnet.net") == ("NOERROR", [METRICS.address])
    pointer = dns.reversename.from_address(METRICS.address).to_text()
    assert ask(pointer, "PTR") == ("NOERROR", [f"{METRICS.name}.lab.deevnet.net."])
    assert ask("nobody.lab.deevnet.net")[0] == "NXDOMAIN"


def test_new_files_reach_the_router_and_nobody_else(metrics: Api, running_lab: LabStatus, spec: LabSpec) -> None:
    changed = {**spec.dnsmasq, "/etc/mgmt-dnsmasq/hosts.dns": "198.18.99.39 late-vm01.lab.deevnet.net\n"}
    assert lab.up(replace(spec, dnsmasq=changed), progress=print).hosts == running_lab.hosts
    assert ask("late-vm01.lab.deevnet.net") == ("NOERROR", ["198.18.99.39"])
    assert ask("early-vm01.lab.deevnet.net")[0] == "NXDOMAIN"
    assert metrics.status(METRICS.vmid) == "running"
    lab.up(spec, progress=print)
    assert ask("early-vm01.lab.deevnet.net") == ("NOERROR", ["198.18.99.38"])


def test_configuration_dnsmasq_refuses_changes_nothing(running_lab: LabStatus, spec: LabSpec) -> None:
    with pytest.raises(HarnessError, match=r"new dnsmasq configuration on core-rt01: dnsmasq said: .*bad option"):
        lab.up(replace(spec, dnsmasq={**spec.dnsmasq, "lab.conf": "no-such-option\n"}), progress=print)
    shell("core-rt01", "systemctl restart dnsmasq")
    assert ask(f"{LOGS.name}.lab.deevnet.net") == ("NOERROR", [LOGS.address])
    assert lab.up(spec, progress=print) == running_lab


def test_hypervisor_is_set_up_as_an_installer_leaves_it(running_lab: LabStatus) -> None:
    assert shell("hv01", "hostname --fqdn") == "hv01.lab.deevnet.net"
    assert shell("hv01", "systemctl is-system-running") == "running"
    assert shell("hv01", "ls /sys/class/net/vmbr0/brif") == "eno1"
    assert shell("core-rt01", "systemctl is-system-running") == "running"


def test_nothing_in_the_lab_has_a_way_out(running_lab: LabStatus) -> None:
    with pytest.raises(AssertionError, match=r"unreachable|timed out|Network is down"):
        shell("core-rt01", "timeout 3 bash -c ': </dev/tcp/192.0.2.1/80'")
