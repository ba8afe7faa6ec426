"""Ask the wire itself: DNS answers, open ports, banners, certificates, and who already has an address."""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness import errors

# dnspython has fifty modules: only who asks for a name imports it.
if TYPE_CHECKING:
    import dns.message
    import dns.name

# UDP may lose a datagram; a second question inside the same time limit is what every resolver does.
DNS_ATTEMPTS = 2
SILENT = "no answer within the time limit"
# Three questions, as RFC 5227 wants them; on one segment an answer takes milliseconds.
ARP_QUESTIONS, ARP_PAUSE_S = 3, 0.2
_ARP, _ETHERNET = 0x0806, 1
# The types of key a server may have, and what ssh-keyscan calls them.
_SCANNED = {
    "ssh-ed25519": "ed25519",
    "ecdsa-sha2-nistp256": "ecdsa",
    "ecdsa-sha2-nistp384": "ecdsa",
    "ecdsa-sha2-nistp521": "ecdsa",
    "ssh-rsa": "rsa",
}


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
                    happened=SILENT if isinstance(failure, dns.exception.Timeout) else _why(failure) or "no DNS answer",
                    do="Look whether the DNS server runs and listens there",
                ) from failure
        else:
            return answer
    raise AssertionError("the last attempt returns or raises")


def _why(failure: Exception) -> str:
    if isinstance(failure, TimeoutError):
        return SILENT
    return failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)


def tcp_open(address: str, port: int, timeout_s: float = 3.0) -> bool:
    """Whether something listens there; False means the host itself said no, silence is Unreachable."""
    try:
        with socket.create_connection((address, port), timeout=timeout_s):
            return True
    except ConnectionRefusedError:
        return False
    except OSError as failure:
        raise _silent("connect", address, port, failure) from failure


def http_status(url: str, address: str, timeout_s: float = 3.0) -> str:
    """How the server at `address` answers a GET of `url`, as `200 OK`; redirects are answers, not followed.

    The address is the caller's, so that a name that leads elsewhere is not this question's business.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    connection = http.client.HTTPConnection(parts.hostname or "", port, timeout=timeout_s)
    try:
        plain = socket.create_connection((address, port), timeout=timeout_s)
        connection.sock = (
            ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)
            if parts.scheme == "https"
            else plain
        )
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        return f"{answer.status} {answer.reason}".strip()
    except (OSError, http.client.HTTPException) as failure:
        why = _why(failure) if isinstance(failure, OSError) else "its answer is no HTTP"
        raise errors.Unreachable(
            tried=f"ask {url}",
            on=f"{address} port {port}",
            happened=why or "no answer",
            do="Look whether the service runs and listens there",
        ) from failure
    finally:
        connection.close()


def ssh_banner(address: str, port: int = 22, timeout_s: float = 3.0) -> str:
    """The line with which an SSH server introduces itself."""
    try:
        with socket.create_connection((address, port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            line = connection.makefile("rb").readline(255).decode("ascii", "replace").strip()
    except OSError as failure:
        raise _silent("read the SSH banner", address, port, failure) from failure
    if line.startswith("SSH-"):
        return line
    happened = f"it began with {line!r}, which is no SSH server" if line else "it closed the connection without a word"
    raise errors.Unreachable(
        tried="read the SSH banner",
        on=f"{address} port {port}",
        happened=happened,
        do="Look whether sshd listens there",
    )


def _silent(tried: str, address: str, port: int, failure: OSError) -> errors.Unreachable:
    return errors.Unreachable(
        tried=tried,
        on=f"{address} port {port}",
        happened=_why(failure) or "no answer",
        do="Look whether the host runs, has its address, and the service listens there",
    )


def ssh_host_keys(address: str, port: int = 22, timeout_s: float = 5.0, types: Iterable[str] = ()) -> tuple[str, ...]:
    """The host keys an SSH server offers, as `type base64`, sorted; of these types alone where they are named.

    Each type costs a connection of its own.
    """
    asked = sorted({_SCANNED[name] for name in types if name in _SCANNED} or set(_SCANNED.values()))
    argv = ["ssh-keyscan", "-T", f"{max(1, round(timeout_s))}", "-t", ",".join(asked), "-p", str(port), address]
    ended = _tool(argv, timeout_s + 5, "openssh-client")
    lines = [line.split() for line in ended.stdout.splitlines() if line and not line.startswith("#")]
    said = [line for line in ended.stderr.splitlines() if line and not line.startswith("#")]
    keys = tuple(sorted(f"{words[1]} {words[2]}" for words in lines if len(words) >= 3))
    if keys:
        return keys
    raise errors.Unreachable(
        tried="read the SSH host keys",
        on=f"{address} port {port}",
        happened=said[-1] if said else "no SSH server showed a key",
        do="Look whether the host runs, has its address, and its sshd listens there",
    )


def tls_fingerprint(url: str, timeout_s: float = 5.0) -> str:
    """The SHA-256 of the certificate an https address shows, as AA:BB:…

    The certificate is not judged here: the caller compares the fingerprint with the pinned one.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    try:
        pem = ssl.get_server_certificate((host, port), timeout=timeout_s)
    except OSError as failure:
        raise _silent("read the TLS certificate", host, port, failure) from failure
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def answers_at(address: str, timeout_s: float = 1.0, ignored_mac: str | None = None) -> str | None:
    """How something that already has this address showed itself; None when nothing did.

    On the same segment whoever has it must answer ARP, whatever else it hides; only root may ask so. The kernel
    remembers for half a minute who had an address, and sends there what is meant for whoever has it now. Root makes it
    forget first. Others see a new owner only after that time, and an entry with `ignored_mac`, a guest that is gone, is
    no stranger.
    """
    for _, device in _neighbours(address):
        _tool(["ip", "neigh", "del", address, "dev", device], 5, "iproute2")
    on_link = _route(address)
    if on_link is not None:
        try:
            holder = _ask_by_arp(address, *on_link)
        except OSError:  # not root, or no Ethernet
            pass
        else:
            return f"{address} is held by the NIC {holder} on {on_link[0]} (ARP)" if holder else None
    with _pinging(address, timeout_s) as ping:
        on_tcp = _answers_tcp(address, 22, timeout_s)
    if ping is not None and ping.returncode == 0:
        return f"{address} answers ping"
    # Last: the two questions above made the kernel ask who has the address.
    return on_tcp or _is_neighbour(address, ignored_mac)


def _route(address: str) -> tuple[str, str] | None:
    """The device and our own address on the segment that has this one; None when a router is between, or it is ours."""
    ended = _tool(["ip", "-json", "route", "get", address], 5, "iproute2")
    route = json.loads(ended.stdout or "[{}]")[0]
    if {"gateway", "via"} & route.keys() or route.get("type") == "local" or "prefsrc" not in route:
        return None
    return str(route["dev"]), str(route["prefsrc"])


def _ask_by_arp(address: str, device: str, own: str) -> str | None:
    """The MAC of whoever says that the address is its own; asked a few times, since a frame may be lost."""
    with _arp_question(address, device, own) as (wire, question):
        for _ in range(ARP_QUESTIONS):
            wire.send(question)
            deadline = time.monotonic() + ARP_PAUSE_S
            while (left := deadline - time.monotonic()) > 0:
                wire.settimeout(left)
                try:
                    frame = wire.recv(64)
                except TimeoutError:
                    break
                if len(frame) >= 42 and frame[28:32] == socket.inet_aton(address):
                    return frame[22:28].hex(":")
    return None


@contextmanager
def _arp_question(address: str, device: str, own: str) -> Iterator[tuple[socket.socket, bytes]]:
    """Where to send it, and the frame."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP)) as wire:
        wire.bind((device, _ARP))
        *_, hardware, mac = wire.getsockname()
        if hardware != _ETHERNET:
            raise OSError(errno.EPROTONOSUPPORT, "no Ethernet", device)
        addresses = (mac, socket.inet_aton(own), b"", socket.inet_aton(address))
        question = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, *addresses)
        yield wire, b"\xff" * 6 + mac + struct.pack("!H", _ARP) + question


@contextmanager
def awaiting(address: str) -> Iterator[None]:
    """While the block runs, whoever comes up at the address is known at once: the kernel asks only once a second."""
    ended = threading.Event()
    on_link = _route(address)
    if on_link is not None:
        threading.Thread(target=_keep_asking, args=(ended, address, *on_link), daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _keep_asking(ended: threading.Event, address: str, device: str, own: str) -> None:
    """The kernel hears the answer, too. Where this may not be asked, it is as slow as it is."""
    began = time.monotonic()
    with suppress(OSError), _arp_question(address, device, own) as (wire, question):
        while not ended.wait(min(max(0.1, (time.monotonic() - began) / 5), 1.0)):
            wire.send(question)


@contextmanager
def _pinging(address: str, timeout_s: float) -> Iterator[subprocess.Popen[bytes] | None]:
    """A ping that has ended when the block has. The other looks stand without it; it is not installed everywhere."""
    if shutil.which("ping") is None:
        yield None
        return
    argv = ["ping", "-n", "-q", "-c", "1", "-W", f"{max(1, round(timeout_s))}", address]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ping:
        yield ping


def _answers_tcp(address: str, port: int, timeout_s: float) -> str | None:
    try:
        said = "accepts" if tcp_open(address, port, timeout_s) else "refuses"
    except errors.Unreachable as silence:
        # Nobody has the address, or whoever has it drops what it gets. Without a route nobody was asked at all.
        cause = silence.__cause__
        if isinstance(cause, TimeoutError) or (isinstance(cause, OSError) and cause.errno == errno.EHOSTUNREACH):
            return None
        raise
    return f"{address} {said} connections on TCP port {port}"


def _is_neighbour(address: str, ignored_mac: str | None) -> str | None:
    """An entry that is not REACHABLE was not confirmed lately: an old one proves nothing."""
    for mac, device in _neighbours(address, state="REACHABLE"):
        if mac != (ignored_mac or "").lower():
            return f"{address} is held by the NIC {mac} on {device} (neighbour table)"
    return None


def _neighbours(address: str, state: str | None = None) -> list[tuple[str, str]]:
    """(MAC, device) of what the kernel knows of an address, in that state only when one is given."""
    ended = _tool(["ip", "-json", "neigh", "show", "to", address], 5, "iproute2")
    return [
        (str(entry["lladdr"]).lower(), str(entry["dev"]))
        for entry in json.loads(ended.stdout or "[]")
        if "lladdr" in entry and state in (None, *entry.get("state", []))
    ]


def own_macs() -> frozenset[str]:
    """The MACs of the machine this runs on: on its segment, but not a stranger there."""
    ended = _tool(["ip", "-json", "link"], 5, "iproute2")
    return frozenset(str(link["address"]).lower() for link in json.loads(ended.stdout or "[]") if "address" in link)


def _tool(argv: list[str], limit_s: float, package: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=limit_s, check=False)
    except FileNotFoundError as missing:
        raise errors.Missing(
            tried=f"run {argv[0]}",
            on="this machine",
            happened="it is not installed",
            do=f"Install the package {package}",
        ) from missing
    except subprocess.TimeoutExpired as late:
        raise errors.Unreachable(
            tried=f"run {argv[0]}",
            on=argv[-1],
            happened=f"no answer within {limit_s:g} s",
            do="Look at the network there",
        ) from late
