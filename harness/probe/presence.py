"""See whether something already has an address, and hear at once when something comes up there."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from harness import errors
from harness.probe.asking import run_tool
from harness.probe.ports import tcp_open

# Three questions, as RFC 5227 wants them; on one segment an answer takes milliseconds.
ARP_QUESTIONS, ARP_PAUSE_S = 3, 0.2
_ARP, _ETHERNET = 0x0806, 1


def answers_at(address: str, timeout_s: float = 1.0, ignored_mac: str | None = None) -> str | None:
    """How something that already has this address showed itself; None when nothing did.

    On the same segment whoever has it must answer ARP, whatever else it hides; only root may ask so. The kernel
    remembers for half a minute who had an address, and sends there what is meant for whoever has it now. Root makes it
    forget first. Others see a new owner only after that time, and an entry with `ignored_mac`, a guest that is gone, is
    no stranger.
    """
    for _, device in _neighbours(address):
        run_tool(["ip", "neigh", "del", address, "dev", device], 5, "iproute2")
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
    ended = run_tool(["ip", "-json", "route", "get", address], 5, "iproute2")
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
    ended = run_tool(["ip", "-json", "neigh", "show", "to", address], 5, "iproute2")
    return [
        (str(entry["lladdr"]).lower(), str(entry["dev"]))
        for entry in json.loads(ended.stdout or "[]")
        if "lladdr" in entry and state in (None, *entry.get("state", []))
    ]


def own_macs() -> frozenset[str]:
    """The MACs of the machine this runs on: on its segment, but not a stranger there."""
    ended = run_tool(["ip", "-json", "link"], 5, "iproute2")
    return frozenset(str(link["address"]).lower() for link in json.loads(ended.stdout or "[]") if "address" in link)
