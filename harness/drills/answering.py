"""Ask every management VM and its services whether they answer, all at once and from here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness import probe
from harness.contract import Contract, Guest, Service
from harness.errors import HarnessError
from harness.wait import wait_until

ONE_LOOK_S = 3.0


@dataclass(frozen=True)
class Answer:
    """Whether one thing answered, and with what."""

    what: str
    wanted: str
    seen: str
    good: bool


@dataclass(frozen=True)
class _Question:
    what: str
    wanted: str
    ask: Callable[[], tuple[bool, str]]  # raises when nobody answers


def ask_all(contract: Contract, guests: Iterable[Guest]) -> tuple[Answer, ...]:
    """Each VM's name, SSH, ports and health addresses."""
    questions = [question for guest in guests for question in _questions(contract, guest)]
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(questions)))) as pool:
        return tuple(pool.map(_answer, questions))


def wait_for_all(
    contract: Contract, guests: Sequence[Guest], *, deadline_s: float, tell: Callable[[str], None]
) -> tuple[Answer, ...]:
    """As soon as everything answers, or what was seen last."""
    last: tuple[Answer, ...] = ()

    def look() -> tuple[bool | None, str]:
        nonlocal last
        last = ask_all(contract, guests)
        silent = [answer for answer in last if not answer.good]
        return (None if silent else True), f"{len(last) - len(silent)} of {len(last)} answer"

    waited = wait_until(look, deadline_s=deadline_s, first_pause_s=0.3)
    tell(f"{waited.last_seen} after {waited.seconds:.1f} s")
    return last


def _questions(contract: Contract, guest: Guest) -> Iterator[_Question]:
    address = str(guest.nic.address.ip)
    server, dns_port = str(contract.router.dns), contract.router.dns_port

    def name_leads_here() -> tuple[bool, str]:
        found = sorted(map(str, probe.resolve_a(guest.fqdn, server, dns_port, ONE_LOOK_S)))
        return found == [address], ", ".join(found) or "nothing"

    yield _Question(f"name {guest.fqdn}", address, name_leads_here)
    yield _Question(
        f"SSH of {guest.name}", "a banner", lambda: (True, probe.ssh_banner(address, guest.ssh.port, ONE_LOOK_S))
    )
    for service in guest.services:
        yield from _service_questions(contract, guest, service)


def _service_questions(contract: Contract, guest: Guest, service: Service) -> Iterator[_Question]:
    address = str(guest.nic.address.ip)
    for port in service.ports:
        yield _Question(f"port {port} of {guest.name} ({service.unit})", "open", _port(address, port))
    if service.health_url is not None:
        url = service.health_url
        yield _Question(f"where {url} leads", address, _leads_to(contract, url, address))
        yield _Question(f"health of {service.unit} on {guest.name}", "a good answer", _health(url, address))


def _port(address: str, port: int) -> Callable[[], tuple[bool, str]]:
    def ask() -> tuple[bool, str]:
        is_open = probe.tcp_open(address, port, ONE_LOOK_S)
        return is_open, "open" if is_open else "closed"

    return ask


def _leads_to(contract: Contract, url: str, address: str) -> Callable[[], tuple[bool, str]]:
    """A service that answers elsewhere is no service of this VM, however well it answers."""

    def ask() -> tuple[bool, str]:
        host = urlsplit(url).hostname or ""
        if host.replace(".", "").isdigit():
            return host == address, host
        server, port = str(contract.router.dns), contract.router.dns_port
        found = sorted(map(str, probe.resolve_a(host, server, port, ONE_LOOK_S)))
        return found == [address], ", ".join(found) or "nothing"

    return ask


def _health(url: str, address: str) -> Callable[[], tuple[bool, str]]:
    """Asked at the VM itself: this machine need not have the site's resolver, and a proxy would answer for the VM."""

    def ask() -> tuple[bool, str]:
        answer = probe.http_status(url, address, ONE_LOOK_S)
        return answer.startswith(("2", "3")), f"HTTP {answer}"

    return ask


def _answer(question: _Question) -> Answer:
    try:
        good, seen = question.ask()
    except HarnessError as silence:
        good, seen = False, f"no answer: {silence.happened}"
    return Answer(question.what, question.wanted, seen, good)
