"""What breaks management planes on the core router: each fault is seeded, found by its clause, and named."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from harness.wait import wait_until
from tests.site.administrator import as_root
from tests.site.driver import Site
from tests.site.faults import Fault, end_second_server, messages, start_second_server

pytestmark = pytest.mark.lab

VICTIM, VMID, MAC, ADDRESS = "metrics-vm01", 130, "02:de:99:01:01:01", "198.18.99.30"
FQDN = f"{VICTIM}.lab.deevnet.net"
ROUTER, ELSEWHERE, STRANGER = "core-rt01", "198.18.99.77", "02:aa:bb:cc:dd:ee"
RESERVATIONS, NAMES = "/etc/mgmt-dnsmasq/hosts.dhcp", "/etc/mgmt-dnsmasq/hosts.dns"
MAIN, LEASES = "/etc/dnsmasq.d/mgmt-lab.conf", "/var/lib/misc/dnsmasq.leases"
OWN_WAY = "/etc/systemd/network/80-dhcp.network.d/99-fault.conf"
KEPT = "/root/kept"
# A restart alone keeps the address that the guest has, beside the one it gets.
ANEW = "systemctl stop systemd-networkd; ip -4 address flush dev eth0; systemctl start systemd-networkd"


def keep(site: Site) -> None:
    site.run(ROUTER, f"rm -rf {KEPT} && mkdir {KEPT} && cp -p {RESERVATIONS} {NAMES} {MAIN} {LEASES} {KEPT}/")


def put_back(site: Site) -> None:
    site.run(
        ROUTER,
        "systemctl stop dnsmasq && "
        + " && ".join(f"cp -p {KEPT}/{path.rpartition('/')[2]} {path}" for path in (RESERVATIONS, NAMES, MAIN, LEASES))
        + " && systemctl reset-failed dnsmasq; systemctl start dnsmasq",
    )


def edited(script: str) -> Callable[[Site], object]:
    """Change the router's files while dnsmasq is down, so that it starts with them."""

    def seed(site: Site) -> None:
        keep(site)
        site.run(
            ROUTER, f"systemctl stop dnsmasq && {script} && systemctl reset-failed dnsmasq; systemctl start dnsmasq"
        )

    return seed


def on_router(script: str) -> Callable[[Site], object]:
    return lambda site: site.run(ROUTER, script)


def inside(script: str) -> None:
    """Through the agent: the guest's network goes away under an SSH login."""
    as_root("POST", f"/nodes/hv01/qemu/{VMID}/agent/exec", command=["sh", "-c", script])


def lease_with(site: Site, words: str) -> str:
    """The victim's line in the router's lease file, once it has these words."""

    def look() -> tuple[str | None, str]:
        line = site.run(ROUTER, f"grep {MAC} {LEASES} || :")
        return (line if words in line else None), line

    waited = wait_until(look, deadline_s=20)
    assert waited.value is not None, waited.last_seen
    return waited.value


def client_id(site: Site) -> str:
    """How the victim calls itself now that its own id is made of its machine-id."""

    def look() -> tuple[str | None, str]:
        said = site.run(VICTIM, "sudo sh -c 'cat /run/systemd/netif/leases/*'")
        found = re.search(r"^CLIENTID=(ff[0-9a-f]+)$", said, re.M)
        return (found[1] if found else None), said

    waited = wait_until(look, deadline_s=20)
    assert waited.value is not None, waited.last_seen
    return waited.value


def bypass_the_reservation(site: Site) -> None:
    """The router has an entry for a client-id, and the guest begins to use it: its MAC's entry is not asked."""
    keep(site)
    inside(f"printf '[DHCPv4]\\nClientIdentifier=duid\\n' >{OWN_WAY}; systemctl restart systemd-networkd")
    client = bytes.fromhex(client_id(site)).hex(":")
    site.run(ROUTER, f"echo id:{client},{ELSEWHERE} >>{RESERVATIONS} && systemctl reload dnsmasq")
    inside(ANEW)
    lease_with(site, f" {ELSEWHERE} ")


def end_the_bypass(site: Site) -> None:
    put_back(site)
    inside(f"rm -f {OWN_WAY}; {ANEW}")
    lease_with(site, f" {ADDRESS} ")


def share_a_machine_id(site: Site) -> None:
    other = site.run("logs-vm01", "cat /etc/machine-id").strip()
    site.run(VICTIM, f"sudo sh -c 'cp /etc/machine-id /root/own-id && echo {other} >/etc/machine-id'")


def speak_as_a_stranger(site: Site) -> None:
    frame = f"bytes.fromhex('{'ff' * 6}{STRANGER.replace(':', '')}0806') + bytes(46)"
    program = (
        f"import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('lan0', 0)); s.send({frame})"
    )
    site.run(ROUTER, f'python3 -c "{program}"')


FAULTS = {
    "reservation missing": Fault(
        "network.reservation",
        f"addresses reserved for {MAC}: expected {ADDRESS}, seen none",
        edited(f"sed -i /{MAC}/d {RESERVATIONS}"),
        put_back,
    ),
    "reservation for another MAC": Fault(
        "network.reservation",
        f"MACs with {ADDRESS} reserved: expected {MAC}, seen 02:de:99:7f:00:01",
        edited(f"sed -i s/{MAC}/02:de:99:7f:00:01/ {RESERVATIONS}"),
        put_back,
    ),
    "address reserved twice": Fault(
        "network.reservation",
        f"MACs with {ADDRESS} reserved: expected {MAC}, seen {MAC}, 02:de:99:7f:00:02",
        edited(f"echo 02:de:99:7f:00:02,{ADDRESS},thief >>{RESERVATIONS}"),
        put_back,
    ),
    "a second DHCP server": Fault(
        "network.core-router",
        "DHCP servers on vmbr0: expected 198.18.99.1, seen 198.18.99.1, 198.18.99.39",
        start_second_server,
        end_second_server,
        alone=False,  # it runs in a VM, which is a broken promise of its own
    ),
    "alive and deaf": Fault(
        "network.core-router",
        "DHCP servers on vmbr0: expected 198.18.99.1, seen none",
        on_router("systemctl kill -s STOP dnsmasq"),
        on_router("systemctl kill -s CONT dnsmasq"),
        alone=False,
        status=2,  # nor does it answer DNS, so that promise cannot be judged
    ),
    "old lease with another address": Fault(
        "network.address",
        f"leases against {MAC} -> {ADDRESS}: expected none, seen {ELSEWHERE} for {MAC}",
        edited(f"sed -i '/{MAC}/s/ {ADDRESS} / {ELSEWHERE} /' {LEASES}"),
        put_back,
    ),
    "old lease of another machine": Fault(
        "network.address",
        f"leases against {MAC} -> {ADDRESS}: expected none, seen {ADDRESS} for {STRANGER}",
        edited(f"sed -i '/{MAC}/s/.*/4000000000 {STRANGER} {ADDRESS} old *\\n/' {LEASES}"),
        put_back,
        alone=False,  # the reservation is there and cannot be offered
    ),
    "client-id that bypasses the reservation": Fault(
        "network.address",
        f"seen {ELSEWHERE} for {MAC} ({VICTIM}), as client-id ff:",
        bypass_the_reservation,
        end_the_bypass,
        alone=False,  # nobody is at the VM's address now
        status=2,
    ),
    "two guests with one machine-id": Fault(
        "identity.guest-unique",
        f"guests with the machine-id of {VICTIM}: expected none, seen logs-vm01",
        share_a_machine_id,
        lambda site: site.run(VICTIM, "sudo sh -c 'cat /root/own-id >/etc/machine-id'"),
    ),
    "A without PTR": Fault(
        "network.dns",
        f"PTR {ADDRESS}: expected {FQDN}, seen none",
        edited(
            f"sed -i /{FQDN}/d {NAMES} && printf 'address=/{FQDN}/{ADDRESS}\\ndhcp-ignore-names\\n' >>{MAIN} && "
            f"sed -i '/{MAC}/s/ {VICTIM} / * /' {LEASES} && sed -i s/,{VICTIM}$// {RESERVATIONS}"
        ),
        put_back,
    ),
    "alias that leads nowhere": Fault(
        "network.dns",
        f"aliases of {VICTIM}: expected metrics.lab.deevnet.net: {ADDRESS}, seen metrics.lab.deevnet.net: none",
        edited(
            f"sed -i 's/^cname=metrics.lab.deevnet.net,.*/cname=metrics.lab.deevnet.net,gone.lab.deevnet.net/' {MAIN}"
        ),
        put_back,
    ),
    "unknown MAC on the segment": Fault(
        "identity.no-strangers",
        f"MACs on the segments of the VMs that nobody declared: expected none, seen {STRANGER} (behind eno1)",
        speak_as_a_stranger,
        lambda site: site.run("hv01", f"bridge fdb del {STRANGER} dev eno1 master"),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_named(site: Site, name: str) -> None:
    fault = FAULTS[name]
    try:
        fault.seed(site)
        status, result = site.verify()
    finally:
        fault.mend(site)
    said = messages(result)
    assert fault.words in said.get(fault.clause, ""), said
    assert status == fault.status
    assert not fault.alone or set(said) == {fault.clause}


def test_all_is_well_afterwards(site: Site) -> None:
    """Each fault was mended, so none of the findings above was another's."""
    status, result = site.verify()
    assert status == 0, messages(result)
    assert {chain["verdict"] for chain in result["chains"]} == {"pass"}
    assert len(result["chains"]) == 10


def test_the_chain_breaks_at_the_first_bad_link(site: Site) -> None:
    fault = FAULTS["reservation missing"]
    fault.seed(site)
    try:
        ended = site.invoke("verify")
    finally:
        fault.mend(site)
    (line,) = [line for line in ended.said.splitlines() if line.startswith(f"  {VICTIM} ") and " = " in line]
    assert line.split() == f"{VICTIM} {MAC} = net0 | reservation: expected {ADDRESS}, seen none".split()
