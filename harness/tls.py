"""Talk TLS only to the machine the inventory pins, by certificate authority or by SHA-256 fingerprint."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context

from harness.errors import Invalid

CONNECT_LIMIT_S = 5.0
READ_LIMIT_S = 15.0
# Longer than PVE's own 10 s wait for a lock and than the 30 s after which its proxy gives a call up (596).
WRITE_LIMIT_S = 35.0
UPLOAD_LIMIT_S = 600.0

Limit = Callable[[str, str], float]

_SHA256 = re.compile(r"([0-9A-F]{2}:){31}[0-9A-F]{2}")


def parse_fingerprint(text: str) -> str:
    """A SHA-256 fingerprint as AA:BB:…; any case, with or without colons, also as openssl prints it."""
    digits = re.sub(r"[\s:]", "", text.rpartition("=")[2]).upper()
    pretty = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    if not _SHA256.fullmatch(pretty):
        raise Invalid(
            tried="read the fingerprint of the API's certificate",
            on=f"{text.strip()[:80]!r}",
            happened="this is not a SHA-256 fingerprint (32 pairs of hexadecimal digits)",
            do="Copy it from the machine itself: `openssl x509 -noout -fingerprint -sha256 -in` its certificate "
            "(/etc/pve/local/pve-ssl.pem on a PVE node)",
        )
    return pretty


class LimitedAdapter(HTTPAdapter):
    """Gives each request the time limit of its kind; repeats nothing by itself."""

    def __init__(self, limit: Limit | None = None) -> None:
        self._limit = limit or limit_of
        super().__init__()

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        kwargs["timeout"] = (CONNECT_LIMIT_S, self._limit(request.method or "GET", request.url or ""))
        return super().send(request, **kwargs)


class PinnedAdapter(LimitedAdapter):
    """Accepts the one certificate with this fingerprint, and nothing else."""

    def __init__(self, fingerprint: str, limit: Limit | None = None) -> None:
        self._fingerprint = parse_fingerprint(fingerprint)
        # A context of our own: urllib3 would read the system's whole list of authorities, which a pin has no use for.
        self._context = create_urllib3_context(cert_reqs=ssl.CERT_NONE)
        super().__init__(limit)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> tuple[Any, Any]:
        """The pin replaces the chain: the machine's own authority, which nobody knows, signed its certificate."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        kept = {key: value for key, value in pool.items() if not key.startswith("ca_")}
        pinned = {"cert_reqs": "CERT_NONE", "ssl_context": self._context, "assert_fingerprint": self._fingerprint}
        return host, {**kept, **pinned}

    def cert_verify(self, conn: Any, url: str, verify: bool | str, cert: Any) -> None:
        """requests would set the chain check again on the pooled connection; the pin is already in its key."""


def adapter_for(ca_file: Path | None, fingerprint: str | None, limit: Limit | None = None) -> LimitedAdapter:
    """`limit` gives the seconds that an answer to (method, URL) may take; without it they are those of PVE's API."""
    return PinnedAdapter(fingerprint, limit) if fingerprint and not ca_file else LimitedAdapter(limit)


def limit_of(method: str, url: str) -> float:
    if method == "GET":
        return READ_LIMIT_S
    return UPLOAD_LIMIT_S if urlsplit(url).path.endswith("/upload") else WRITE_LIMIT_S
