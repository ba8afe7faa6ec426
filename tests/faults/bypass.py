"""A guest that names itself to the DHCP server otherwise, and is given an address past its MAC's reservation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from harness.wait import wait_until
from tests.faults.bench import ROUTER, Bench, root, run
from tests.faults.ways import Way, edited, written

OWN_WAY = "/etc/systemd/network/80-dhcp.network.d/99-fault.conf"
RESERVATIONS, LEASES = "/etc/mgmt-dnsmasq/hosts.dhcp", "/var/lib/misc/dnsmasq.leases"
# A restart alone keeps the address that the guest has, beside the one it gets.
ANEW = "systemctl stop systemd-networkd; ip -4 address flush dev eth0; systemctl start systemd-networkd"
ASKED_S = 20.0


def bypassed(guest: str, mac: str, address: str, elsewhere: str) -> Way:
    """The router has an entry for a client-id, and the guest begins to use it: its MAC's entry is not asked."""

    restart = "systemctl restart systemd-networkd"
    named_otherwise = written(guest, OWN_WAY, "[DHCPv4]\nClientIdentifier=duid\n", then=restart)

    @contextmanager
    def way(bench: Bench) -> Iterator[None]:
        try:
            with named_otherwise(bench):
                client = bytes.fromhex(_client_id(guest)).hex(":")
                entry = f"id:{client},{elsewhere}\n"
                with edited(ROUTER, RESERVATIONS, r"\Z", entry, then="systemctl reload dnsmasq")(bench):
                    run(guest, ANEW)
                    _wait_for_lease(mac, elsewhere)
                    yield
        finally:
            # The lease of the other address outlives the entry.
            run(ROUTER, f"systemctl stop dnsmasq; sed -i '/ {mac} /d' {LEASES}; systemctl start dnsmasq")
            run(guest, ANEW)
            _wait_for_lease(mac, address)

    return way


def _client_id(guest: str) -> str:
    """How the guest calls itself now that its own id is made of its machine-id."""

    def look() -> tuple[str | None, str]:
        said = "".join(file.read_text() for file in (root(guest) / "run/systemd/netif/leases").iterdir())
        found = re.search(r"^CLIENTID=(ff[0-9a-f]+)$", said, re.M)
        return (found[1] if found else None), said

    waited = wait_until(look, deadline_s=ASKED_S)
    assert waited.value is not None, waited.last_seen
    return waited.value


def _wait_for_lease(mac: str, address: str) -> None:
    def look() -> tuple[bool | None, str]:
        leases = (root(ROUTER) / LEASES[1:]).read_text()
        return (True if f" {mac} {address} " in leases else None), leases

    waited = wait_until(look, deadline_s=ASKED_S)
    assert waited.value, waited.last_seen
