"""Cut networks off at the hypervisor's physical ports with what every Debian has: iproute2, and no packet filter.

PVE's own firewall rewrites its tables as it likes, and nftables is not installed everywhere. Frames from and to the
networks are sent into a bridge without ports instead of on their way, which drops them; nothing else is touched.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

DEVICE = "mgmt-drill"
PREFERENCE = 48879  # of our filters alone, so that they can be taken away without knowing what else is there
_IPV4 = "match u8 0x40 0xf0 at 0"
_ARP = "match u32 0x00010800 0xffffffff at 0"
# Where the addresses stand, from the start of the network header: source and destination.
_IN_IPV4 = {"ingress": 12, "egress": 16}
_IN_ARP = {"ingress": 14, "egress": 24}


@dataclass(frozen=True)
class Cut:
    """Which networks, at which physical ports."""

    ports: tuple[str, ...]
    networks: tuple[IPv4Network, ...]

    def __str__(self) -> str:
        named = ", ".join(
            str(one.network_address) if one.prefixlen == one.max_prefixlen else str(one) for one in self.networks
        )
        return f"{named} at {', '.join(self.ports)}"


def render_cut(cut: Cut) -> str:
    """The script of sh that cuts off."""
    lines = ["set -eu", f"ip link add name {DEVICE} type bridge stp_state 0", f"ip link set {DEVICE} up"]
    for port in cut.ports:
        dev = shlex.quote(port)
        # It may be there for somebody else's filters; then ours stand beside them.
        lines.append(f"tc qdisc show dev {dev} clsact | grep -q clsact || tc qdisc add dev {dev} clsact")
        lines += [
            f"tc filter add dev {dev} {direction} pref {PREFERENCE} protocol all u32 {match}"
            f" action mirred egress redirect dev {DEVICE}"
            for direction in ("ingress", "egress")
            for network in cut.networks
            for match in _matches(network, direction)
        ]
    return "\n".join(lines) + "\n"


def render_mend(cut: Cut) -> str:
    """The script that ends the cut, however much of it there is. An empty clsact stays: it does nothing."""
    lines = ["set -eu"]
    for port in cut.ports:
        dev = shlex.quote(port)
        for direction in ("ingress", "egress"):
            shown = f"tc filter show dev {dev} {direction} pref {PREFERENCE}"
            gone = f"tc filter del dev {dev} {direction} pref {PREFERENCE}"
            lines.append(f"if {shown} 2>/dev/null | grep -q .; then {gone}; fi")
    lines.append(f"if ip link show dev {DEVICE} >/dev/null 2>&1; then ip link delete dev {DEVICE}; fi")
    return "\n".join(lines) + "\n"


def _matches(network: IPv4Network, direction: str) -> Iterator[str]:
    address, mask = int(network.network_address), int(network.netmask)
    yield f"{_IPV4} match u32 {address:#010x} {mask:#010x} at {_IN_IPV4[direction]}"
    at = _IN_ARP[direction]
    if at % 4 == 0:
        yield f"{_ARP} match u32 {address:#010x} {mask:#010x} at {at}"
        return
    halves = (
        f"match u16 {address >> shift & 0xFFFF:#06x} {mask >> shift & 0xFFFF:#06x} at {at + place}"
        for shift, place in ((16, 0), (0, 2))
        if mask >> shift & 0xFFFF
    )
    yield " ".join([_ARP, *halves])
