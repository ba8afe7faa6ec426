"""Ask for an address as a guest's DHCP client would, over a raw socket on one NIC."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5
SUBNET_MASK, ROUTER, DNS, REQUESTED, TYPE, SERVER, CLIENT_ID, SEARCH = 1, 3, 6, 50, 53, 54, 61, 119


@dataclass(frozen=True)
class Lease:
    address: IPv4Address
    options: dict[int, bytes]

    def addresses(self, option: int) -> list[str]:
        data = self.options.get(option, b"")
        return [str(IPv4Address(data[i : i + 4])) for i in range(0, len(data), 4)]


def lease(nic: str, mac: str, *, client_id: bytes = b"", timeout_s: float = 3.0) -> Lease | None:
    """DISCOVER and REQUEST; None when nobody offers anything within the time limit."""
    offer = _exchange(nic, mac, {TYPE: bytes([DISCOVER]), CLIENT_ID: client_id}, OFFER, timeout_s)
    if offer is None:
        return None
    wanted = {
        TYPE: bytes([REQUEST]),
        CLIENT_ID: client_id,
        REQUESTED: offer.address.packed,
        SERVER: offer.options[SERVER],
    }
    return _exchange(nic, mac, wanted, ACK, timeout_s)


def _exchange(nic: str, mac: str, options: dict[int, bytes], expected: int, timeout_s: float) -> Lease | None:
    hardware, transaction = bytes.fromhex(mac.replace(":", "")), os.urandom(4)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as raw:
        raw.bind((nic, 0))
        raw.settimeout(timeout_s)
        raw.send(_frame(hardware, transaction, options))
        with contextlib.suppress(TimeoutError):
            while True:
                answer = _parse(raw.recv(2048), transaction)
                if answer is not None and answer.options.get(TYPE) == bytes([expected]):
                    return answer
    return None


def _frame(hardware: bytes, transaction: bytes, options: dict[int, bytes]) -> bytes:
    encoded = b"".join(bytes([code, len(data)]) + data for code, data in options.items() if data)
    asked = bytes([55, 4, SUBNET_MASK, ROUTER, DNS, SEARCH])
    fixed = struct.pack("!BBBB4sHH16x", 1, 1, 6, 0, transaction, 0, 0x8000)  # the answer is to be broadcast
    bootp = fixed + hardware.ljust(16, b"\0") + bytes(192) + b"\x63\x82\x53\x63" + encoded + asked + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(bootp), 0) + bootp
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes(4), b"\xff" * 4)
    ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
    return b"\xff" * 6 + hardware + b"\x08\x00" + ip + udp


def _checksum(header: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def _parse(frame: bytes, transaction: bytes) -> Lease | None:
    """The answer in a frame, when it is one to our transaction; ports and headers are fixed by the protocol."""
    bootp = frame[14 + 20 + 8 :]
    if len(bootp) < 240 or bootp[0] != 2 or bootp[4:8] != transaction:
        return None
    options, rest = {}, bootp[240:]
    while rest and rest[0] != 0xFF:
        if rest[0] == 0:
            rest = rest[1:]
            continue
        options[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    return Lease(IPv4Address(bootp[16:20]), options)
