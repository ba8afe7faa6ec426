"""What a guest says of itself: names, addresses, routes, listeners."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Any

from harness.contract import Guest
from harness.errors import Unreachable
from harness.verify.batch import Answers

# No tool for packet filters means no rule was ever loaded by one; it is looked for where sudo finds it.
_NAT = """PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
for tool in nft iptables-save; do
  command -v $tool >/dev/null || continue
  case $tool in nft) sudo -n nft list ruleset;; *) sudo -n iptables-save -t nat;; esac || exit
done"""

# The gateway is only a neighbour for a while after somebody spoke to it: one datagram to its discard port does.
_NEIGHBOURS = """set -- $(ip -4 route show default)
if test "$2" = via && ! ip -4 neigh show to "$3" | grep -q lladdr; then
  bash -c "echo >/dev/udp/$3/9" 2>/dev/null
  for pause in 0.05 0.1 0.2 0.4 0.8; do
    ip -4 neigh show to "$3" | grep -q lladdr && break
    sleep $pause
  done
fi
ip -j -4 neigh show"""

COMMANDS = {
    "hostname": "cat /proc/sys/kernel/hostname",
    "machine-id": "cat /etc/machine-id",
    "host-keys": "cat /etc/ssh/ssh_host_*_key.pub",
    "addresses": "ip -j addr show",
    "routes": "ip -j route show",
    "neighbours": _NEIGHBOURS,
    # systemd-resolved answers on a loopback stub; the servers it asks stand in its own file.
    "resolvers": "cat /run/systemd/resolve/resolv.conf 2>/dev/null || cat /etc/resolv.conf",
    "listeners": "ss -H -l -n -t -u",
    # A kernel without IPv6 forwards none; anything else that cannot be read is no answer. One link is enough.
    "forwarding": (
        "set -e; cd /proc/sys/net; grep -H . ipv4/conf/*/forwarding; test ! -e ipv6 || grep -H . ipv6/conf/*/forwarding"
    ),
    "nat": _NAT,
    "mounts": "cat /proc/mounts",
    "hosts-and-fstab": "set -e; cat /etc/hosts; test ! -e /etc/fstab || cat /etc/fstab",
}


# A unit that is just starting is waited for; one that failed or never started is not.
_UNITS = """for pause in 0.1 0.2 0.4 0.8 1.6 3.2 0; do
  said=$(systemctl show -p Id,Names,LoadState,ActiveState,SubState,UnitFileState,TriggeredBy -- {units}) || exit
  case $said in *ActiveState=activating*) sleep $pause;; *) break;; esac
done
printf '%s\\n' "$said"
"""


def questions(guest: Guest) -> dict[str, str]:
    """All that is asked of this guest."""
    return COMMANDS | unit_commands([service.unit for service in guest.services])


def unit_commands(units: Sequence[str]) -> dict[str, str]:
    """The question about these units; none where there are none."""
    return {"units": _UNITS.format(units=shlex.join(units))} if units else {}


@dataclass(frozen=True)
class HeldAddress:
    """An IPv4 address of the guest; `dynamic` when it has a lifetime, as a lease has and a static address has not."""

    mac: str
    address: IPv4Address
    prefix: int
    dynamic: bool

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix} on {self.mac} ({'leased' if self.dynamic else 'static'})"


@dataclass(frozen=True)
class Listener:
    """A socket that waits for somebody."""

    protocol: str
    address: str
    port: int

    @property
    def loopback(self) -> bool:
        bare = self.address.partition("%")[0].strip("[]")
        return bare not in ("*", "") and ip_address(bare).is_loopback

    def __str__(self) -> str:
        return f"{self.protocol} {self.address}:{self.port}"


@dataclass(frozen=True)
class Unit:
    """A systemd unit as the guest has it."""

    is_loaded: bool
    active: str  # active, inactive, failed, activating
    sub: str
    file_state: str  # enabled, disabled, static, masked; nothing where there is no file
    triggered_by: tuple[str, ...]

    @property
    def comes_back(self) -> bool:
        """Whether it is there after a restart of the guest: by itself, or when what triggers it is asked."""
        return self.file_state not in ("disabled", "masked", "") or bool(self.triggered_by)

    def __str__(self) -> str:
        return f"{self.active} ({self.sub})" if self.is_loaded else "not installed"


@dataclass(frozen=True)
class GuestFacts:
    """The guest's own answers, parsed when a check reads them."""

    answers: Answers

    @property
    def hostname(self) -> str:
        return self.answers.text("hostname").strip()

    @property
    def machine_id(self) -> str:
        return self.answers.text("machine-id").strip()

    @property
    def host_keys(self) -> frozenset[str]:
        """Type and key of each SSH host key, without the comment."""
        lines = (line.split() for line in self.answers.text("host-keys").splitlines())
        return frozenset(" ".join(words[:2]) for words in lines if len(words) >= 2)

    @property
    def macs(self) -> frozenset[str]:
        return frozenset(link["address"] for link in self._links())

    @property
    def addresses(self) -> tuple[HeldAddress, ...]:
        """Every IPv4 address beyond loopback, on whatever link."""
        return tuple(
            HeldAddress(
                link.get("address", "no MAC"), IPv4Address(held["local"]), held["prefixlen"], bool(held.get("dynamic"))
            )
            for link in self._links()
            for held in link.get("addr_info", [])
            if held["family"] == "inet"
        )

    @property
    def gateways(self) -> tuple[str, ...]:
        """The next hops of the default routes."""
        routes = json.loads(self.answers.text("routes"))
        return tuple(dict.fromkeys(_next_hop(route) for route in routes if route["dst"] == "default"))

    @property
    def resolvers(self) -> tuple[str, ...]:
        return tuple(re.findall(r"^\s*nameserver\s+(\S+)", self.answers.text("resolvers"), re.M))

    @property
    def listeners(self) -> tuple[Listener, ...]:
        return parse_listeners(self.answers.text("listeners"))

    @property
    def serves(self) -> frozenset[str]:
        """The ports that are open to others, as `tcp 9090`."""
        return frozenset(f"{one.protocol} {one.port}" for one in self.listeners if not one.loopback)

    def unit(self, name: str) -> Unit | None:
        """The unit of that name, which may be another name of it; None when nobody asked for it."""
        blocks = (dict(re.findall(r"^(\w+)=(.*)$", block, re.M)) for block in self.answers.text("units").split("\n\n"))
        found = next((one for one in blocks if name in (one.get("Id"), *one.get("Names", "").split())), None)
        if found is None:
            return None
        return Unit(
            is_loaded=found["LoadState"] not in ("not-found", "bad-setting", "error"),
            active=found["ActiveState"],
            sub=found["SubState"],
            file_state=found["UnitFileState"],
            triggered_by=tuple(found["TriggeredBy"].split()),
        )

    @property
    def forwards(self) -> tuple[str, ...]:
        """Where the kernel passes packets on: a link or `all`, by protocol."""
        found = re.findall(r"^(ipv[46])/conf/(.+)/forwarding:(\d+)$", self.answers.text("forwarding"), re.M)
        on = ((protocol, link) for protocol, link, value in found if value != "0")
        # `default` is for links to come, and from `lo` nothing comes.
        return tuple(f"{protocol} {link}" for protocol, link in on if link not in {"default", "lo"})

    @property
    def translates(self) -> tuple[str, ...]:
        """Rules that rewrite addresses."""
        rules = self.answers.text("nat").splitlines()
        return tuple(rule.strip() for rule in rules if re.search(r"\b(masquerade|snat|dnat)\b", rule, re.I))

    def mac_of_neighbour(self, address: IPv4Address) -> str:
        """The MAC behind `address` as this guest's own link sees it; Unreachable when nobody is there."""
        entries = json.loads(self.answers.text("neighbours") or "[]")
        for entry in entries:
            if entry["dst"] == str(address) and "lladdr" in entry:
                return str(entry["lladdr"]).lower()
        raise Unreachable(
            tried=f"see who is at {address}",
            on=self.answers.host,
            happened="no neighbour answers there",
            do="Look whether the gateway runs and has this address",
        )

    def lines_naming(self, *words: str) -> tuple[str, ...]:
        """Lines about routes, resolvers, mounts and fixed names that hold one of `words` as a whole word."""
        pattern = re.compile("|".join(rf"(?<![\w.-]){re.escape(word)}(?![\w-])(?!\.\w)" for word in words))
        sources = ("routes", "resolvers", "mounts", "hosts-and-fstab")
        found = (f"{source}: {line.strip()}" for source in sources for line in self._lines(source))
        return tuple(line for line in found if words and pattern.search(line))

    def _lines(self, source: str) -> list[str]:
        text = self.answers.text(source)
        if source == "routes":
            return [json.dumps(route) for route in json.loads(text or "[]")]
        return [line for line in text.splitlines() if not line.lstrip().startswith("#")]

    def _links(self) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = json.loads(self.answers.text("addresses"))
        return [link for link in links if "LOOPBACK" not in link["flags"] and "address" in link]


def parse_listeners(text: str) -> tuple[Listener, ...]:
    """`ss -H -l -n -t -u`: protocol, state, two queues, local address:port, peer."""
    rows = (line.split() for line in text.splitlines() if line.strip())
    return tuple(Listener(row[0], *_address_and_port(row[4])) for row in rows)


def _address_and_port(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    return address, int(port)


def _next_hop(route: dict[str, Any]) -> str:
    return str(route.get("gateway") or f"the link {route.get('dev')}")
