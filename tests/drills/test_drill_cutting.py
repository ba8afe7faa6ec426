"""The cut drops every frame from and to the networks, ARP too, and nothing else; ending it leaves nothing."""

from __future__ import annotations

import os
import subprocess
from ipaddress import IPv4Network

import pytest

from harness.drills.cutting import Cut, render_cut, render_mend

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

# A guest behind a bridge with a physical port, and behind that port a tenant hypervisor, one of its VMs, and a router.
WORLD = """
set -eu
ip link add br0 type bridge; ip link set br0 up; ip address add 10.9.0.21/24 dev br0
far() { # far NAME ADDRESS: a machine of its own on the wire behind eno1
    ip link add "p-$1" type veth peer name "$1"; ip link set "p-$1" master wire up
    unshare --net sh -c 'ip link set lo up; exec sleep 60' & pid=$!
    while [ "$(readlink /proc/$pid/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do sleep 0.02; done
    ip link set "$1" netns "$pid"
    nsenter --net=/proc/$pid/ns/net sh -c "ip address add $2/24 dev $1; ip link set $1 up"
}
ip link add wire type bridge; ip link set wire up
ip link add eno1 type veth peer name cable; ip link set eno1 master br0 up; ip link set cable master wire up
far tenant 10.9.0.22; far tenantvm 10.9.0.77; far router 10.9.0.1
ask() { for one in 22 77 1; do
    ip neigh flush dev br0
    if ping -n -q -c 1 -W 1 10.9.0.$one >/dev/null; then printf '%s ' "$one"; fi
done; echo; }
"""


def answering(cut: Cut, *, twice: bool = False) -> list[list[str]]:
    """Who answers before the cut, in it, and after it."""
    on, off = render_cut(cut), render_mend(cut)
    script = f"{WORLD}\nask\n(\n{on})\nask\n(\n{off})\nask\n" + (f"(\n{off})\n" if twice else "")
    script += "ip -o link show mgmt-drill 2>/dev/null || echo gone\ntc filter show dev eno1 ingress\n"
    ended = subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[3:] == ["gone"], lines
    return [line.split() for line in lines[:3]]


def test_one_address_is_cut_off_and_nobody_beside_it() -> None:
    cut = Cut(("eno1",), (IPv4Network("10.9.0.22"),))
    assert answering(cut) == [["22", "77", "1"], ["77", "1"], ["22", "77", "1"]]


def test_a_network_is_cut_off_as_far_as_its_mask_goes() -> None:
    cut = Cut(("eno1",), (IPv4Network("10.9.0.22"), IPv4Network("10.9.0.64/27")))
    assert answering(cut, twice=True) == [["22", "77", "1"], ["1"], ["22", "77", "1"]]


def test_it_is_said_as_a_reader_knows_it() -> None:
    cut = Cut(("eno1", "eno2"), (IPv4Network("10.20.99.22"), IPv4Network("10.20.50.0/24")))
    assert str(cut) == "10.20.99.22, 10.20.50.0/24 at eno1, eno2"
