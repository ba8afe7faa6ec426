"""Ask a DNS server for names, and tell an absent name from a server that does not say."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

from harness import errors
from harness.probe.asking import SILENT, why

# dnspython has fifty modules: only who asks for a name imports it.
if TYPE_CHECKING:
    import dns.message
    import dns.name

# UDP may lose a datagram; a second question inside the same time limit is what every resolver does.
DNS_ATTEMPTS = 2


def resolve_a(name: str, server: str, port: int = 53, timeout_s: float = 3.0) -> tuple[IPv4Address, ...]:
    """The addresses `server` gives for `name`, through CNAMEs too; () when there is none."""
    return tuple(IPv4Address(str(record)) for record in _ask(name, "A", server, port, timeout_s))


def resolve_ptr(address: IPv4Address | str, server: str, port: int = 53, timeout_s: float = 3.0) -> tuple[str, ...]:
    """The names `server` gives for `address`; () when there is none."""
    import dns.reversename

    question = dns.reversename.from_address(str(address)).to_text()
    return tuple(_plain(record.target) for record in _ask(question, "PTR", server, port, timeout_s))


def resolve_cname(name: str, server: str, port: int = 53, timeout_s: float = 3.0) -> str | None:
    """The canonical name `server` gives for the alias `name`; None when there is none."""
    targets = [_plain(record.target) for record in _ask(name, "CNAME", server, port, timeout_s)]
    return targets[0] if targets else None


def dns_software(server: str, port: int = 53, timeout_s: float = 3.0) -> str | None:
    """What the DNS server says it is, such as `dnsmasq-2.90`; None where it keeps that to itself."""
    import dns.message
    import dns.rdataclass
    import dns.rdatatype

    query = dns.message.make_query("version.bind", dns.rdatatype.TXT, dns.rdataclass.CH)
    answer = _exchange(query, "its version", server, port, timeout_s)
    records = [record for rrset in answer.answer if rrset.rdtype == dns.rdatatype.TXT for record in rrset]
    return b"".join(records[0].strings).decode("ascii", "replace") if records else None


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _ask(name: str, kind: str, server: str, port: int, timeout_s: float) -> list[Any]:
    """The records of one kind in the answer: none for an absent name, an error when the server does not say."""
    import dns.message
    import dns.rcode
    import dns.rdatatype

    query = dns.message.make_query(name, kind)
    asked = f"{kind} {name}"
    answer = _exchange(query, asked, server, port, timeout_s)
    if answer.rcode() == dns.rcode.NXDOMAIN:
        return []
    if answer.rcode() != dns.rcode.NOERROR:
        raise errors.Refused(
            tried=f"resolve {asked}",
            on=f"{server} port {port}",
            happened=f"the DNS server answered {dns.rcode.to_text(answer.rcode())}",
            do="Look whether that server is responsible for the zone and lets this machine ask",
        )
    return [record for rrset in answer.answer if rrset.rdtype == dns.rdatatype.RdataType[kind] for record in rrset]


def _exchange(query: dns.message.Message, asked: str, server: str, port: int, timeout_s: float) -> dns.message.Message:
    import dns.exception
    import dns.query

    for attempt in range(1, DNS_ATTEMPTS + 1):
        try:
            answer, _ = dns.query.udp_with_fallback(query, server, timeout_s / DNS_ATTEMPTS, port)
        except (dns.exception.DNSException, OSError) as failure:
            if attempt == DNS_ATTEMPTS or not isinstance(failure, dns.exception.Timeout):
                raise errors.Unreachable(
                    tried=f"resolve {asked}",
                    on=f"{server} port {port}",
                    happened=SILENT if isinstance(failure, dns.exception.Timeout) else why(failure) or "no DNS answer",
                    do="Look whether the DNS server runs and listens there",
                ) from failure
        else:
            return answer
    raise AssertionError("the last attempt returns or raises")
