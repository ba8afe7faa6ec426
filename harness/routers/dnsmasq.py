"""dnsmasq as a site's DHCP and DNS: render its files from the contract, observe what a running one was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from harness.contract import Contract, Record, Reservation, Segment
from harness.routers.dnsmasq_files import observe

__all__ = ["DNS_FILE", "LEASES_FILE", "RESERVATIONS_FILE", "main_file", "observe", "render"]

RESERVATIONS_FILE = "/etc/mgmt-dnsmasq/hosts.dhcp"
DNS_FILE = "/etc/mgmt-dnsmasq/hosts.dns"
LEASES_FILE = "/var/lib/misc/dnsmasq.leases"
RESERVATIONS_LINE, NAMES_LINE = f"dhcp-hostsfile={RESERVATIONS_FILE}", f"addn-hosts={DNS_FILE}"
# A guest that lost its router keeps its address this long; dnsmasq's own default.
LEASE_TIME = "1h"


def main_file(site: str) -> str:
    return f"/etc/dnsmasq.d/mgmt-{site}.conf"


def render(contract: Contract) -> Mapping[str, str]:
    """The files of a dnsmasq that serves this contract, by absolute path.

    Reservations and addresses stand in files of their own: SIGHUP re-reads those, the main file needs a restart.
    """
    return {
        main_file(contract.site): _text(contract, _main(contract)),
        RESERVATIONS_FILE: _text(contract, _reservations(contract)),
        DNS_FILE: _text(contract, _addresses(contract)),
    }


def _text(contract: Contract, lines: Iterable[str]) -> str:
    head = f"# Rendered by mgmt-harness from the inventory of site {contract.site}; changes here are lost."
    return "".join(f"{line}\n" for line in (head, *lines))


def _main(contract: Contract) -> Iterator[str]:
    served = _served(contract)
    yield "# Answer from these files alone: no upstream, no /etc/hosts."
    yield from ("no-resolv", "no-poll", "no-hosts", "bind-dynamic")
    yield f"port={contract.router.dns_port}"
    yield from (f"listen-address={address}" for address in _listen_addresses(contract, served))
    yield f"domain={contract.domain}"
    yield "# Names and addresses of ours that are not declared do not exist; nobody else is asked."
    yield from (f"local=/{zone}/" for zone in (contract.domain, *_reverse_zones(contract.segments.values())))
    yield NAMES_LINE
    yield from map(alias_line, _of_type(contract, "CNAME"))
    yield from ("dhcp-authoritative", f"dhcp-leasefile={LEASES_FILE}", RESERVATIONS_LINE)
    for segment in served:
        yield from _dhcp(contract, segment)


def _served(contract: Contract) -> list[Segment]:
    """The segments in which somebody has a reservation."""
    taken = [reservation.address for reservation in contract.reservations]
    return [seg for seg in contract.segments.values() if any(address in seg.subnet for address in taken)]


def _listen_addresses(contract: Contract, served: Iterable[Segment]) -> list[IPv4Address]:
    """DHCP is served on interfaces that hold one of these; bind-dynamic waits for those that are not there yet."""
    return sorted({contract.router.address, contract.router.dns, *(segment.gateway for segment in served)})


def _dhcp(contract: Contract, segment: Segment) -> Iterator[str]:
    # "static" is what makes dnsmasq silent towards a MAC that has no reservation.
    ends = ",".join(map(str, segment.pool)) if segment.pool else f"{segment.subnet.network_address},static"
    tag = segment.name
    yield f"dhcp-range=set:{tag},{ends},{segment.subnet.netmask},{LEASE_TIME}"
    yield f"dhcp-option=tag:{tag},option:router,{segment.gateway}"
    yield f"dhcp-option=tag:{tag},option:dns-server,{contract.router.dns}"
    yield f"dhcp-option=tag:{tag},option:domain-search,{contract.domain}"


def _reservations(contract: Contract) -> Iterator[str]:
    yield "# id:* ignores the client's own id: clones of one template show the same one until they are made their own."
    yield from map(reservation_line, sorted(contract.reservations, key=lambda one: one.address))


def _addresses(contract: Contract) -> Iterator[str]:
    """Each line is an A record, and the first line of an address its PTR record."""
    yield from map(address_line, sorted(_of_type(contract, "A"), key=lambda one: IPv4Address(one.target)))


def reservation_line(one: Reservation) -> str:
    return f"{one.mac},id:*,{one.address},{one.name}"


def address_line(record: Record) -> str:
    return f"{record.target} {record.name}"


def alias_line(record: Record) -> str:
    return f"cname={record.name},{record.target}"


def _of_type(contract: Contract, kind: str) -> list[Record]:
    return [record for record in contract.records if record.type == kind]


def _reverse_zones(segments: Iterable[Segment]) -> list[str]:
    """The in-addr.arpa zones that cover the segments; zones end at octets, so a /25 takes the /24 around it."""
    networks = {part for segment in segments for part in _octet_parts(segment.subnet)}
    return [_reverse_zone(network) for network in sorted(networks)]


def _octet_parts(subnet: IPv4Network) -> list[IPv4Network]:
    if subnet.prefixlen > 24:
        return [subnet.supernet(new_prefix=24)]
    return list(subnet.subnets(new_prefix=max(8, -(-subnet.prefixlen // 8) * 8)))


def _reverse_zone(network: IPv4Network) -> str:
    octets = str(network.network_address).split(".")[: network.prefixlen // 8]
    return ".".join([*reversed(octets), "in-addr.arpa"])
