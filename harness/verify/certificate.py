"""See whether the web interface shows the certificate that was pinned, by fingerprint or by authority."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from harness.contract import Api, SecretRef
from harness.errors import Invalid, Unreachable
from harness.secrets import read_secret
from harness.tls import parse_fingerprint

TIMEOUT_S = 5.0


def read_pin(api: Api, site_folder: Path) -> str:
    """How the inventory says the web interface identifies itself: a fingerprint, or who vouches for it."""
    if api.ca_file is not None:
        return str(api.ca_file)
    pinned = api.fingerprint
    text = read_secret(pinned, base=site_folder).reveal() if isinstance(pinned, SecretRef) else str(pinned)
    return parse_fingerprint(text)


def who_vouches(url: str, ca_file: Path) -> str:
    """`ca_file` itself when it vouches for the certificate at `url`, and what is wrong otherwise."""
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 443
    try:
        context = ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise Invalid(
            tried="read the pinned authority",
            on=str(ca_file),
            happened=str(error),
            do="Name a file with a PEM certificate",
        ) from error
    try:
        with (
            socket.create_connection((host, port), TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return str(ca_file)
    except ssl.SSLCertVerificationError as error:
        return f"a certificate it does not vouch for ({error.verify_message})"
    except OSError as error:
        raise Unreachable(
            tried="open a TLS connection",
            on=url,
            happened=str(error),
            do="Look whether pveproxy runs there and the address is right",
        ) from error
