"""What the hypervisor's bridge knows of its segment: DHCP servers that answer there, and the MACs behind its ports."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from harness.contract import Contract, Guest
from harness.probing import dhcp
from harness.probing.dhcp import DhcpAnswers, parse_answers
from harness.verify.batch import Answers

AFTERWARDS = {"fdb": "PATH=$PATH:/usr/sbin:/sbin; bridge -j fdb show", "neighbours": "ip -j -4 neigh show"}


def bridges_of(contract: Contract) -> tuple[str, ...]:
    return tuple(dict.fromkeys(guest.nic.bridge for guest in contract.guests))


def questions(contract: Contract, bridge: str) -> dict[str, str]:
    """Guests with a VLAN tag are on a segment that the bridge's own frames do not reach."""
    guests = [guest for guest in contract.guests if guest.nic.bridge == bridge and guest.nic.vlan_tag is None]
    sudo = contract.hypervisor.ssh.user != "root"
    discover = dhcp.render_command(bridge, [guest.nic.mac for guest in guests], sudo=sudo)
    return {**wake(hosts_beside(contract, guests)), "dhcp": discover, **AFTERWARDS}


def hosts_beside(contract: Contract, guests: Sequence[Guest]) -> tuple[str, ...]:
    """Every declared address in the segments of these guests that is no guest's."""
    segments = {guest.nic.segment.subnet for guest in guests}
    theirs = {guest.nic.address.ip for guest in contract.guests}
    declared = {IPv4Address(record.target) for record in contract.records if record.type == "A"}
    declared |= {guest.nic.segment.gateway for guest in guests}
    beside = (one for one in sorted(declared - theirs) if any(one in subnet for subnet in segments))
    return tuple(map(str, beside))


def wake(hosts: Iterable[str]) -> dict[str, str]:
    """A neighbour is one only for a while after a datagram, here to its discard port.

    Who has to answer does so while DHCP servers are listened for, and who answers that has spoken on the segment: so
    this comes first, and what the bridge has heard is read afterwards.
    """
    poke = "\n".join(f"echo >/dev/udp/{host}/9" for host in hosts)
    return {"wake": f"bash -c {shlex.quote(poke)}"}


@dataclass(frozen=True)
class SeenMac:
    """A MAC that a port of the bridge has heard; `address` is what the hypervisor knows to be behind it."""

    mac: str
    port: str
    address: str | None

    def __str__(self) -> str:
        at = f", {self.address}" if self.address else ""
        return f"{self.mac} (behind {self.port}{at})"


@dataclass(frozen=True)
class SegmentFacts:
    """One bridge's answers, parsed when a check reads them."""

    bridge: str
    answers: Answers

    @property
    def dhcp(self) -> DhcpAnswers:
        """Standard error is in the answer too; the last line is what was found."""
        return parse_answers(self.answers.text("dhcp").strip().splitlines()[-1])

    @property
    def macs(self) -> tuple[SeenMac, ...]:
        """Who spoke on the segment lately; the bridge's own MACs and those of its ports are permanent entries."""
        return tuple(self._learned())

    def _learned(self) -> Iterator[SeenMac]:
        behind = {
            str(entry["lladdr"]).lower(): str(entry["dst"])
            for entry in json.loads(self.answers.text("neighbours") or "[]")
            if "lladdr" in entry
        }
        for entry in json.loads(self.answers.text("fdb") or "[]"):
            mac, state = str(entry["mac"]).lower(), entry.get("state", "")
            # The second digit of a multicast MAC is odd.
            is_group = bool(re.match(r".[13579bdf]", mac))
            if entry.get("master") == self.bridge and state not in {"permanent", "static"} and not is_group:
                yield SeenMac(mac, str(entry["ifname"]), behind.get(mac))
