"""The network file gets the declared bridge, and everything else in it stays."""

from __future__ import annotations

import pytest

from harness.bootstrap.interfaces import derive_interfaces

BRIDGE = {"name": "vmbr0", "port": "eno1", "address": "198.18.99.21/24", "gateway": "198.18.99.1"}
# As Proxmox VE's installer writes it.
INSTALLED = """auto lo
iface lo inet loopback

iface eno1 inet manual

auto vmbr0
iface vmbr0 inet static
\taddress 198.18.99.21/24
\tgateway 198.18.99.1
\tbridge-ports eno1
\tbridge-stp off
\tbridge-fd 0

iface enp3s0 inet manual

source /etc/network/interfaces.d/*
"""


def test_what_the_installer_wrote_stays_byte_for_byte() -> None:
    assert derive_interfaces(INSTALLED, [BRIDGE]) == INSTALLED


@pytest.mark.parametrize(
    ("seen", "due"),
    [
        ("bridge-ports eno1", "bridge-ports enp3s0"),
        ("bridge-ports eno1", "bridge_ports none"),
        ("bridge-stp off", "bridge-stp on"),
        ("gateway 198.18.99.1", "gateway 198.18.99.2"),
        ("address 198.18.99.21/24", "address 198.18.99.21/16"),
    ],
)
def test_an_option_that_differs_is_set_in_its_place(seen: str, due: str) -> None:
    drifted = INSTALLED.replace(f"\t{seen}\n", f"\t{due}\n")
    assert derive_interfaces(drifted, [BRIDGE]) == INSTALLED


def test_a_missing_option_is_added() -> None:
    drifted = INSTALLED.replace("\tbridge-fd 0\n", "")
    assert derive_interfaces(drifted, [BRIDGE]) == INSTALLED


def test_options_comments_and_nics_of_others_stay() -> None:
    text = INSTALLED.replace(
        "\tbridge-fd 0\n", "\tbridge-fd 0\n\tbridge-vlan-aware yes\n# the second NIC\n\tmtu 9000\n"
    )
    text += "\n# at the end\n"
    assert derive_interfaces(text, [BRIDGE]) == text


def test_a_host_without_a_bridge_gets_one_and_its_nic_gives_the_address_away() -> None:
    plain = (
        "auto lo\niface lo inet loopback\n\nauto eno1\niface eno1 inet static\n\taddress 198.18.99.21/24\n"
        "\tgateway 198.18.99.1\n\nsource /etc/network/interfaces.d/*\n"
    )
    made = derive_interfaces(plain, [BRIDGE])
    assert made == (
        "auto lo\niface lo inet loopback\n\nauto eno1\niface eno1 inet manual\n\n"
        "auto vmbr0\niface vmbr0 inet static\n\taddress 198.18.99.21/24\n\tgateway 198.18.99.1\n\tbridge-ports eno1\n"
        "\tbridge-stp off\n\tbridge-fd 0\n\nsource /etc/network/interfaces.d/*\n"
    )
    assert derive_interfaces(made, [BRIDGE]) == made


def test_a_bridge_for_guests_only_has_no_address() -> None:
    guests = {"name": "vmbr1", "port": None, "address": None, "gateway": None}
    made = derive_interfaces(INSTALLED, [BRIDGE, guests])
    assert "auto vmbr1\niface vmbr1 inet manual\n\tbridge-stp off\n\tbridge-fd 0\n" in made
    assert derive_interfaces(made, [BRIDGE, guests]) == made


def test_a_port_that_is_not_declared_stays() -> None:
    """On a site whose hardware is open, the installer has chosen the NIC."""
    assert derive_interfaces(INSTALLED, [{**BRIDGE, "port": None}]) == INSTALLED
