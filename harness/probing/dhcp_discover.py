"""Ask a segment which DHCP servers answer, and what each would offer to given MACs; nothing is ever requested.

Runs on the hypervisor as root, from standard input: Python's standard library only. Its argument is JSON: interface,
macs, seconds, until_all (stop as soon as every MAC has an offer). It prints JSON: every OFFER for one of the MACs, and
every server that answered an INFORM.

The frames come from the interface's own MAC, so no switch learns a guest's MAC in the wrong place; the guest's stands
in chaddr alone. Servers answer by broadcast, and a guest that runs under that MAC ignores an answer to a question it
did not ask. The INFORM is there because some servers look on the wire before they offer an address from a range
(dnsmasq pings for three seconds), but tell at once what else they would say.
"""

import fcntl
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

DISCOVER, OFFER, ACK, INFORM = 1, 2, 5, 8
MASK, ROUTER, DNS, TYPE, SERVER = 1, 3, 6, 53, 54
COOKIE = b"\x63\x82\x53\x63"
SIOCGIFADDR = 0x8915
AGAIN_S = 0.4  # a frame may be lost


def main() -> None:
    asked = json.loads(sys.argv[1])
    found = ask(asked["interface"], asked["macs"], asked["seconds"], until_all=asked["until_all"])
    print(json.dumps({"interface": asked["interface"], **found}))


def ask(interface: str, macs: list[str], seconds: float, *, until_all: bool) -> dict[str, list[dict[str, str]]]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as wire:
        wire.bind((interface, 0))
        own_mac, own_address = wire.getsockname()[4], address_of(interface)
        transactions = {os.urandom(4): mac for mac in macs}
        inform = os.urandom(4)
        offers: dict[tuple[str, ...], dict[str, str]] = {}
        servers: dict[tuple[str, str], dict[str, str]] = {}
        began = time.monotonic()
        turns = [0.0, AGAIN_S]
        while (passed := time.monotonic() - began) < seconds:
            if turns and passed >= turns[0]:
                turns.pop(0)
                # First the INFORM: who thinks long over a DISCOVER hears nothing else meanwhile.
                if own_address and not servers:
                    wire.send(inform_frame(own_mac, own_address, inform))
                answered = {mac for mac, *_ in offers}
                for transaction, mac in transactions.items():
                    if mac not in answered:
                        wire.send(discover(own_mac, mac, transaction))
            until = min([seconds, *turns[:1]]) - passed
            if not select.select([wire], [], [], max(0.0, until))[0]:
                continue
            answer = parse(wire.recv(4096))
            if answer is None:
                continue
            transaction, kind, told = answer
            if kind == OFFER and transaction in transactions:
                told["mac"] = transactions[transaction]
                offers[told["mac"], told["server"], told["source_mac"], told["address"]] = told
                if until_all and {mac for mac, *_ in offers} == set(macs):
                    break
            elif kind == ACK and transaction == inform:
                servers[told["server"], told["source_mac"]] = {key: told[key] for key in ("server", "source_mac")}
    return {"offers": list(offers.values()), "servers": list(servers.values())}


def address_of(interface: str) -> bytes | None:
    """The interface's IPv4 address, packed; None when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, SIOCGIFADDR, struct.pack("256s", interface[:15].encode()))
        except OSError:
            return None
    return bytes(answer[20:24])


def discover(own_mac: bytes, mac: str, transaction: bytes) -> bytes:
    chaddr = bytes.fromhex(mac.replace(":", ""))
    return frame(own_mac, bytes(4), bootp(chaddr, bytes(4), transaction, DISCOVER, 0x8000))


def inform_frame(own_mac: bytes, own_address: bytes, transaction: bytes) -> bytes:
    return frame(own_mac, own_address, bootp(own_mac, own_address, transaction, INFORM, 0))


def bootp(chaddr: bytes, ciaddr: bytes, transaction: bytes, kind: int, flags: int) -> bytes:
    fixed = struct.pack("!BBBB4sHH4s12x", 1, 1, 6, 0, transaction, 0, flags, ciaddr)
    options = bytes([TYPE, 1, kind, 55, 3, MASK, ROUTER, DNS, 255])
    return (fixed + chaddr.ljust(16, b"\0") + bytes(192) + COOKIE + options).ljust(300, b"\0")


def frame(own_mac: bytes, own_address: bytes, payload: bytes) -> bytes:
    udp = struct.pack("!HHHH", 68, 67, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, own_address, b"\xff" * 4)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return b"\xff" * 6 + own_mac + b"\x08\x00" + head[:10] + struct.pack("!H", checksum) + head[12:] + udp


def parse(data: bytes) -> tuple[bytes, int, dict[str, str]] | None:
    """(transaction, kind, what it says) of a frame; None for all that is no DHCP answer."""
    if len(data) < 34 or data[23] != 17:
        return None
    start = 14 + (data[14] & 0x0F) * 4
    payload = data[start + 8 :]
    if data[start : start + 4] != struct.pack("!HH", 67, 68) or len(payload) < 240 or payload[236:240] != COOKIE:
        return None
    options = dict(options_of(payload[240:]))
    source = socket.inet_ntoa(data[26:30])
    told = {
        "server": socket.inet_ntoa(options[SERVER]) if len(options.get(SERVER, b"")) == 4 else source,
        "source_mac": data[6:12].hex(":"),
        "address": socket.inet_ntoa(payload[16:20]),
    }
    return payload[4:8], (options.get(TYPE) or b"\0")[0], told


def options_of(rest: bytes) -> Iterator[tuple[int, bytes]]:
    while len(rest) > 1 and rest[0] != 255:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        yield rest[0], rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]


if __name__ == "__main__":
    main()
