"""Describe a PEM certificate as PVE's certificates/info does, reading its DER with the standard library alone."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_NAMES = {"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU"}
_KEY_KINDS = {"1.2.840.113549.1.1.1": "rsaEncryption", "1.2.840.10045.2.1": "id-ecPublicKey", "1.3.101.112": "ED25519"}
_CURVE_BITS = {"1.2.840.10045.3.1.7": 256, "1.3.132.0.34": 384, "1.3.132.0.35": 521}
_SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
_SEQUENCE, _INTEGER, _OID, _EXTENSIONS, _VERSION = 0x30, 0x02, 0x06, 0xA3, 0xA0


def describe_certificate(file: Path, shown_as: str) -> dict[str, Any]:
    """The first certificate of the file."""
    text = file.read_text(encoding="ascii")
    match = re.search(r"-----BEGIN CERTIFICATE-----\n(.*?)-----END CERTIFICATE-----\n?", text, re.DOTALL)
    if match is None:
        raise ValueError(f"{file} holds no certificate")
    der = base64.b64decode(match[1])
    digest = hashlib.sha256(der).hexdigest().upper()
    fingerprint = ":".join(digest[n : n + 2] for n in range(0, 64, 2))
    return {"filename": shown_as, "fingerprint": fingerprint, "pem": match[0], **_fields(der)}


def _fields(der: bytes) -> dict[str, Any]:
    certificate = _children(_value(der))[0]
    parts = [part for part in _children(certificate[1]) if part[0] != _VERSION]
    _, _, issuer, validity, subject, key = parts[:6]
    notbefore, notafter = (_time(tag, value) for tag, value in _children(validity[1]))
    extensions = next((value for tag, value in parts[6:] if tag == _EXTENSIONS), b"")
    return {
        "issuer": _name(issuer[1]),
        "subject": _name(subject[1]),
        "notbefore": notbefore,
        "notafter": notafter,
        "san": _alternative_names(extensions),
        **_public_key(key[1]),
    }


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of each DER element in a row."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & 0x80:
            count = length & 0x7F
            length = int.from_bytes(data[position : position + count], "big")
            position += count
        yield tag, data[position : position + length]
        position += length


def _children(data: bytes) -> list[tuple[int, bytes]]:
    return list(_elements(data))


def _value(data: bytes) -> bytes:
    return next(_elements(data))[1]


def _oid(data: bytes) -> str:
    numbers, current = [data[0] // 40, data[0] % 40], 0
    for byte in data[1:]:
        current = current << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(current)
            current = 0
    return ".".join(map(str, numbers))


def _name(data: bytes) -> str:
    """`/OU=…/CN=…`, as OpenSSL's one-line form."""
    text = ""
    for _, relative in _elements(data):
        for _, pair in _elements(relative):
            (_, oid), (_, value) = _children(pair)
            text += f"/{_NAMES.get(_oid(oid), _oid(oid))}={value.decode('utf-8', 'replace')}"
    return text


def _time(tag: int, value: bytes) -> int:
    form = "%y%m%d%H%M%SZ" if tag == 0x17 else "%Y%m%d%H%M%SZ"
    return int(datetime.strptime(value.decode("ascii"), form).replace(tzinfo=UTC).timestamp())


def _public_key(data: bytes) -> dict[str, Any]:
    (_, algorithm), (_, bits) = _children(data)
    oids = [_oid(value) for tag, value in _elements(algorithm) if tag == _OID]
    kind = _KEY_KINDS.get(oids[0], oids[0])
    if kind == "rsaEncryption":
        modulus = _children(_value(bits[1:]))[0][1]  # the first byte counts unused bits
        size = int.from_bytes(modulus, "big").bit_length()
    else:
        size = _CURVE_BITS.get(oids[-1], 256)
    return {"public-key-type": kind, "public-key-bits": size}


def _alternative_names(extensions: bytes) -> list[str]:
    for _, extension in _elements(_value(extensions)) if extensions else ():
        parts = _children(extension)
        if _oid(parts[0][1]) == _SUBJECT_ALTERNATIVE_NAME:
            return [_alternative_name(tag, value) for tag, value in _elements(_value(parts[-1][1]))]
    return []


def _alternative_name(tag: int, value: bytes) -> str:
    if tag == 0x87:
        return ipaddress.ip_address(value).exploded
    return value.decode("ascii", "replace")
