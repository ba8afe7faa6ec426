"""Which DHCP servers a segment has, and what each would offer: the question as a command, its answer as values."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.contract import Mac

SCRIPT = Path(__file__).with_name("dhcp_discover.py")
# Long enough for a second server to answer after the first; see the script for those that think longer.
WINDOW_S = 1.2
# No line of the script is this.
END = "END_OF_DHCP_DISCOVER"


@dataclass(frozen=True, order=True)
class Server:
    """A DHCP server by what it calls itself, and the MAC its answers come from."""

    address: str
    mac: str

    def __str__(self) -> str:
        return f"{self.address} ({self.mac})"


@dataclass(frozen=True)
class Offer:
    """What a server would give to a MAC."""

    mac: str
    address: str
    server: Server


@dataclass(frozen=True)
class DhcpAnswers:
    """Everything that was heard on an interface of the hypervisor."""

    interface: str
    offers: tuple[Offer, ...]
    servers: tuple[Server, ...]  # each once, whatever it answered to

    def offers_to(self, mac: str) -> tuple[Offer, ...]:
        return tuple(offer for offer in self.offers if offer.mac == mac)


def render_command(
    interface: str, macs: Iterable[Mac], *, seconds: float = WINDOW_S, until_all: bool = False, sudo: bool = False
) -> str:
    """A shell command for the hypervisor; it needs root and Python there, and leaves nothing behind.

    `until_all` does not wait for a second server once every MAC has an offer.
    """
    asked = json.dumps({"interface": interface, "macs": list(macs), "seconds": seconds, "until_all": until_all})
    root = "sudo -n " if sudo else ""
    return f"{root}python3 - {shlex.quote(asked)} <<'{END}'\n{SCRIPT.read_text()}\n{END}"


def parse_answers(text: str) -> DhcpAnswers:
    said = json.loads(text)
    offers = tuple(Offer(one["mac"], one["address"], _server(one)) for one in said["offers"])
    servers = {offer.server for offer in offers} | {_server(one) for one in said["servers"]}
    return DhcpAnswers(said["interface"], offers, tuple(sorted(servers)))


def _server(said: dict[str, str]) -> Server:
    return Server(said["server"], said["source_mac"])
