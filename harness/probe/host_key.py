"""See the host key an SSH server shows, without logging in and without a program.

The key comes in the middle of the key exchange (RFC 4253, 5656, 8731). Nothing is ever sent under the secret that is
agreed on there, so our half of it may be anything: making a real one is what takes ssh-keyscan its time.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Sequence

_KEXINIT, _KEX_ECDH_INIT, _KEX_ECDH_REPLY, _DISCONNECT = 20, 30, 31, 1
# Any 32 bytes are a public key of Curve25519; on a NIST curve it must be a point: here the one everybody knows.
_P256_BASE = bytes.fromhex(
    "04"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
_EXCHANGES = ("curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256")
_CIPHERS = "aes128-ctr,aes256-ctr,chacha20-poly1305@openssh.com,aes128-gcm@openssh.com,aes256-gcm@openssh.com"
_MACS = "hmac-sha2-256,hmac-sha2-512,hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com"
# Servers say a little before their banner, and send packets that mean nothing here.
_LINES, _PACKETS, _LONGEST = 50, 20, 256 * 1024


class NotUnderstoodError(Exception):
    """Whoever answered does not speak SSH as we do."""


def read_host_key(address: str, port: int, algorithms: Sequence[str], timeout_s: float) -> tuple[str, bytes] | None:
    """(type, blob) of the key the server shows by one of these algorithms; None when it has none for them."""
    with socket.create_connection((address, port), timeout=timeout_s) as wire:
        talk = _Talk(wire, time.monotonic() + timeout_s)
        talk.send(b"SSH-2.0-mgmt-harness\r\n")
        talk.read_banner()
        exchanges, keys = _read_offer(talk.read_packet(_KEXINIT))
        if not set(keys) & set(algorithms):
            return None
        agreed = next((name for name in _EXCHANGES if name in exchanges), None)
        if agreed is None:
            raise NotUnderstoodError("it knows no key exchange that we know")
        talk.send_packet(_offer(algorithms))
        half = _P256_BASE if agreed == "ecdh-sha2-nistp256" else os.urandom(32)
        talk.send_packet(bytes([_KEX_ECDH_INIT]) + _string(half))
        blob, _ = _split(talk.read_packet(_KEX_ECDH_REPLY))
        kind, _ = _split(blob)
        return kind.decode("ascii", "replace"), blob


class _Talk:
    """What is said before anything is encrypted."""

    def __init__(self, wire: socket.socket, deadline: float) -> None:
        self._wire, self._deadline = wire, deadline

    def send(self, data: bytes) -> None:
        self._wire.sendall(data)

    def send_packet(self, payload: bytes) -> None:
        padding = 8 - (len(payload) + 5) % 8
        padding += 8 if padding < 4 else 0
        self.send(struct.pack("!IB", len(payload) + padding + 1, padding) + payload + bytes(padding))

    def read_banner(self) -> None:
        for _ in range(_LINES):
            line = b""
            while not line.endswith(b"\n") and len(line) < _LONGEST:
                line += self._read(1)
            if line.startswith(b"SSH-"):
                return
        raise NotUnderstoodError("it is no SSH server")

    def read_packet(self, wanted: int) -> bytes:
        """What follows the message's number in the next packet of that kind."""
        for _ in range(_PACKETS):
            length, padding = struct.unpack("!IB", self._read(5))
            if not padding + 1 < length <= _LONGEST:
                raise NotUnderstoodError("what it says is no SSH")
            payload = self._read(length - 1)[: length - 1 - padding]
            if payload[0] == wanted:
                return payload[1:]
            if payload[0] == _DISCONNECT:
                break
        raise NotUnderstoodError("it ended the conversation")

    def _read(self, size: int) -> bytes:
        """All of it."""
        data = b""
        while len(data) < size:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._wire.settimeout(left)
            part = self._wire.recv(size - len(data))
            if not part:
                raise NotUnderstoodError("it closed the connection")
            data += part
        return data


def _offer(algorithms: Sequence[str]) -> bytes:
    both = [_CIPHERS, _CIPHERS, _MACS, _MACS, "none", "none", "", ""]
    lists = [",".join(_EXCHANGES), ",".join(algorithms), *both]
    return bytes([_KEXINIT]) + os.urandom(16) + b"".join(_string(one.encode()) for one in lists) + bytes(5)


def _read_offer(offer: bytes) -> tuple[list[str], list[str]]:
    """A server's key exchanges, and the algorithms of the keys it has: the first two lists after its cookie."""
    exchanges, rest = _split(offer[16:])
    keys, _ = _split(rest)
    return exchanges.decode("ascii", "replace").split(","), keys.decode("ascii", "replace").split(",")


def _string(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data


def _split(data: bytes) -> tuple[bytes, bytes]:
    """The string at its beginning, and the rest."""
    if len(data) < 4 or len(data) < 4 + (size := int.from_bytes(data[:4])):
        raise NotUnderstoodError("what it says is cut short")
    return data[4 : 4 + size], data[4 + size :]
