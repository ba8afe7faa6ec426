"""What the wire says: an answer, a refusal and silence are three different things."""

from __future__ import annotations

import ctypes
import platform
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from harness import errors, probe
from harness.wait import wait_until
from tests.remote.machine import Machine, free_port, started_machine
from tests.routers.namespace import CLIENT_NIC, SERVER_NIC, Namespace, started_router
from tests.routers.namespace import what_is_missing as missing_for_dns

LOOPBACK = "127.0.0.1"
CONFIG = """\
no-resolv
no-hosts
local=/lab.example/
local=/99.18.198.in-addr.arpa/
host-record=vm.lab.example,198.18.99.30
host-record=two.lab.example,198.18.99.31
host-record=two.lab.example,198.18.99.32
cname=alias.lab.example,vm.lab.example
"""


@pytest.fixture(scope="module")
def dns_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A real dnsmasq on loopback, without DHCP and without privileges."""
    missing = missing_for_dns()
    if missing:
        pytest.skip(missing)
    folder, port = tmp_path_factory.mktemp("dns"), free_port()
    (folder / "conf").write_text(CONFIG)
    argv = ["dnsmasq", "--keep-in-foreground", f"--conf-file={folder}/conf", f"--port={port}", "--pid-file"]
    argv += ["--bind-interfaces", f"--listen-address={LOOPBACK}", "--user=root"]
    with (folder / "log").open("wb") as log, subprocess.Popen([*argv, "--log-facility=-"], stderr=log) as process:
        try:
            assert wait_until(lambda: _started(folder / "log"), deadline_s=5).value
            yield port
        finally:
            process.kill()


def _started(log: Path) -> tuple[bool | None, str]:
    said = log.read_text()
    return ("started" in said) or None, said


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vm.lab.example", {"198.18.99.30"}),
        ("VM.lab.example.", {"198.18.99.30"}),
        ("two.lab.example", {"198.18.99.31", "198.18.99.32"}),
        ("alias.lab.example", {"198.18.99.30"}),
        ("nobody.lab.example", set()),
    ],
)
def test_resolves_names(dns_port: int, name: str, expected: set[str]) -> None:
    assert set(probe.resolve_a(name, LOOPBACK, dns_port)) == {IPv4Address(address) for address in expected}


def test_resolves_addresses(dns_port: int) -> None:
    assert probe.resolve_ptr("198.18.99.30", LOOPBACK, dns_port) == ("vm.lab.example",)
    assert probe.resolve_ptr(IPv4Address("198.18.99.77"), LOOPBACK, dns_port) == ()


def test_resolves_aliases(dns_port: int) -> None:
    assert probe.resolve_cname("alias.lab.example", LOOPBACK, dns_port) == "vm.lab.example"
    assert probe.resolve_cname("vm.lab.example", LOOPBACK, dns_port) is None
    assert probe.resolve_cname("nobody.lab.example", LOOPBACK, dns_port) is None


def test_a_dns_server_says_what_it_is(dns_port: int) -> None:
    assert str(probe.dns_software(LOOPBACK, dns_port)).startswith("dnsmasq-")


def test_a_server_that_is_not_responsible_is_no_absent_name(dns_port: int) -> None:
    with pytest.raises(errors.Refused, match=r"PTR 5\.0\.0\.10\.in-addr\.arpa\..*REFUSED"):
        probe.resolve_ptr("10.0.0.5", LOOPBACK, dns_port)


def test_no_dns_server_is_no_absent_name() -> None:
    with pytest.raises(errors.Unreachable, match=r"resolve A vm\.lab\.example on 127\.0\.0\.1 port \d+"):
        probe.resolve_a("vm.lab.example", LOOPBACK, free_port(), timeout_s=0.4)


def test_a_silent_dns_server_ends_the_wait() -> None:
    started = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind((LOOPBACK, 0))
        with pytest.raises(errors.Unreachable, match="no answer within the time limit"):
            probe.resolve_a("vm.lab.example", LOOPBACK, mute.getsockname()[1], timeout_s=0.4)
        assert mute.recv(512)
        assert mute.recv(512), "a lost datagram is asked for again"
    assert time.monotonic() - started < 2


def test_tells_open_from_refused() -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]
        assert probe.tcp_open(LOOPBACK, port)
    assert not probe.tcp_open(LOOPBACK, port)


@contextmanager
def saying(words: bytes) -> Iterator[int]:
    """A server that says these words to its first caller and hangs up."""
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            caller, _ = listener.accept()
            with caller:
                caller.sendall(words)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 OK"),
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "302 Found"),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "503 Service Unavailable"),
    ],
)
def test_health_is_the_status_at_the_address_that_is_asked(words: bytes, said: str) -> None:
    with saying(words) as port:
        # The name leads nowhere: only the address counts.
        assert probe.http_status(f"http://vm.invalid:{port}/health", LOOPBACK) == said


def test_what_speaks_no_http_has_no_health() -> None:
    with saying(b"220 mail\r\n") as port, pytest.raises(errors.Unreachable, match="its answer is no HTTP"):
        probe.http_status(f"http://vm.invalid:{port}/", LOOPBACK)


def test_nobody_has_no_health() -> None:
    url = f"http://vm.invalid:{free_port()}/"
    with pytest.raises(errors.Unreachable, match=r"ask http://vm\.invalid:\d+/ on 127\.0\.0\.1"):
        probe.http_status(url, LOOPBACK)


def test_reads_a_banner() -> None:
    with saying(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n") as port:
        assert probe.ssh_banner(LOOPBACK, port) == "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7"


@pytest.mark.parametrize(
    ("words", "happened"), [(b"220 mail\r\n", "no SSH server"), (b"", "closed the connection without a word")]
)
def test_another_banner_is_no_ssh(words: bytes, happened: str) -> None:
    with saying(words) as port, pytest.raises(errors.Unreachable, match=happened):
        probe.ssh_banner(LOOPBACK, port)


def test_a_mute_server_ends_the_wait() -> None:
    with socket.create_server((LOOPBACK, 0)) as mute, pytest.raises(errors.Unreachable, match="within the time limit"):
        probe.ssh_banner(LOOPBACK, mute.getsockname()[1], timeout_s=0.3)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with started_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


def test_reads_the_keys_a_server_offers(machine: Machine) -> None:
    keys = probe.ssh_host_keys(LOOPBACK, machine.login.port)
    assert str(machine.host_key) in keys
    assert [key.split()[0] for key in keys] == ["ecdsa-sha2-nistp256", "ssh-ed25519"]
    assert probe.ssh_banner(LOOPBACK, machine.login.port).startswith("SSH-2.0-OpenSSH")


@pytest.mark.parametrize("exchange", ["curve25519-sha256", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256"])
def test_a_server_with_one_key_exchange_alone_shows_its_key(tmp_path: Path, exchange: str) -> None:
    with started_machine(tmp_path, f"KexAlgorithms {exchange}") as machine:
        assert str(machine.host_key) in probe.ssh_host_keys(LOOPBACK, machine.login.port)


def test_no_server_offers_no_keys() -> None:
    with pytest.raises(errors.Unreachable, match="Look whether the host runs"):
        probe.ssh_host_keys(LOOPBACK, free_port())


def test_reads_the_fingerprint_that_openssl_prints(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", "/CN=hv01", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    show = ["openssl", "x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256"]
    printed = subprocess.run(show, check=True, capture_output=True, text=True).stdout.strip().partition("=")[2]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            caller, _ = listener.accept()
            with context.wrap_socket(caller, server_side=True) as encrypted:
                encrypted.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        assert probe.tls_fingerprint(f"https://{LOOPBACK}:{listener.getsockname()[1]}/api2/json") == printed
        thread.join()


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_no_tls_is_no_fingerprint(words: bytes) -> None:
    with saying(words) as port, pytest.raises(errors.Unreachable, match="read the TLS certificate"):
        probe.tls_fingerprint(f"https://{LOOPBACK}:{port}")


HERE, THERE, NOBODY = "198.18.99.1", "198.18.99.30", "198.18.99.77"
THEIR_MAC = "02:de:99:7f:00:01"
SETRESUID, NOBODYS_ID = {"x86_64": 117, "aarch64": 147}, 65534


@dataclass(frozen=True)
class Cable:
    """Two hosts with a cable between them."""

    here: Namespace
    there_pid: int

    def ask(self, address: str, ignored_mac: str | None = None) -> str | None:
        return self.here.inside(lambda: probe.answers_at(address, ignored_mac=ignored_mac))

    def ask_as_nobody(self, address: str, ignored_mac: str | None = None) -> str | None:
        def ask() -> str | None:
            # The system call itself is about one thread; the C library would take all of them along.
            assert ctypes.CDLL(None, use_errno=True).syscall(SETRESUID[platform.machine()], -1, NOBODYS_ID, -1) == 0
            return probe.answers_at(address, ignored_mac=ignored_mac)

        self.here.run(f"ip neigh flush dev {SERVER_NIC}")
        return self.here.inside(ask)


@pytest.fixture(scope="module")
def cable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cable]:
    missing = missing_for_dns()
    if missing:
        pytest.skip(missing)
    files = {"/etc/dnsmasq.conf": "port=0\n"}
    with started_router(tmp_path_factory.mktemp("net"), files, address=f"{HERE}/24") as here:
        other_host = ["nsenter", "-t", str(here.pid), "--net", "unshare", "--net", "sleep", "600"]
        with subprocess.Popen(other_host) as other:
            try:
                assert wait_until(lambda: _is_elsewhere(other.pid, here.pid), deadline_s=5).value
                _in_network(here.pid, f"ip link set {CLIENT_NIC} address {THEIR_MAC} netns {other.pid}")
                _in_network(other.pid, f"ip address add {THERE}/24 dev {CLIENT_NIC}; ip link set {CLIENT_NIC} up")
                yield Cable(here, other.pid)
            finally:
                other.kill()


def _is_elsewhere(pid: int, first: int) -> tuple[bool | None, str]:
    own, *others = (Path(f"/proc/{one}/ns/net").readlink() for one in (pid, first, "self"))
    return (own not in others) or None, str(own)


def _in_network(pid: int, commands: str) -> None:
    subprocess.run(["nsenter", "-t", str(pid), "--net", "sh", "-ec", commands], check=True)


def test_nobody_answers_at_a_free_address(cable: Cable) -> None:
    assert cable.ask(NOBODY) is None


def test_a_host_is_seen_by_its_nic(cable: Cable) -> None:
    assert cable.ask(THERE) == f"{THERE} is held by the NIC {THEIR_MAC} on {SERVER_NIC} (ARP)"


def test_a_host_that_hides_is_seen_by_its_nic(cable: Cable) -> None:
    """It says nothing above Ethernet, but it does hold the address; with a guest's own MAC, it is one all the same."""
    _in_network(cable.there_pid, f"ip route add blackhole {HERE}/32")
    try:
        held = f"{THERE} is held by the NIC {THEIR_MAC} on {SERVER_NIC} (ARP)"
        assert cable.ask(THERE) == held
        assert cable.ask(THERE, ignored_mac=THEIR_MAC.upper()) == held
    finally:
        _in_network(cable.there_pid, f"ip route del blackhole {HERE}/32")


def test_without_the_right_to_ask_by_arp_what_answers_is_seen(cable: Cable) -> None:
    assert cable.ask_as_nobody(THERE) in {f"{THERE} answers ping", f"{THERE} refuses connections on TCP port 22"}
    assert cable.ask_as_nobody(NOBODY) is None


def test_without_that_right_a_host_that_hides_is_in_the_neighbour_table(cable: Cable) -> None:
    _in_network(cable.there_pid, f"ip route add blackhole {HERE}/32")
    try:
        assert cable.ask_as_nobody(THERE) == f"{THERE} is held by the NIC {THEIR_MAC} on {SERVER_NIC} (neighbour table)"
        assert cable.ask_as_nobody(THERE, ignored_mac=THEIR_MAC.upper()) is None
    finally:
        _in_network(cable.there_pid, f"ip route del blackhole {HERE}/32")


def test_an_old_entry_of_the_neighbour_table_proves_nothing(cable: Cable) -> None:
    cable.here.run(f"ip neigh replace 198.18.99.88 lladdr 02:de:99:7f:00:09 nud stale dev {SERVER_NIC}")
    assert cable.ask("198.18.99.88") is None


def test_a_network_without_route_is_not_a_free_address(cable: Cable) -> None:
    """Nobody was asked, so nothing is known."""
    with pytest.raises(errors.Unreachable, match="Network is unreachable"):
        cable.ask("10.99.99.99")


def test_a_missing_keyscan_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.Missing, match=r"run ssh-keyscan on this machine.*Install the package openssh-client"):
        probe.ssh_host_keys(LOOPBACK, free_port())


def test_a_missing_ip_is_named(cable: Cable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.Missing, match=r"run ip on this machine.*Install the package iproute2"):
        cable.ask(NOBODY)
