"""Ask what listens at an address: open ports, banners, host keys, certificates, health addresses."""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

from harness import errors
from harness.probe.asking import run_tool, why

# The types of key a server may have, and what ssh-keyscan calls them.
_SCANNED = {
    "ssh-ed25519": "ed25519",
    "ecdsa-sha2-nistp256": "ecdsa",
    "ecdsa-sha2-nistp384": "ecdsa",
    "ecdsa-sha2-nistp521": "ecdsa",
    "ssh-rsa": "rsa",
}


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
        reason = why(failure) if isinstance(failure, OSError) else "its answer is no HTTP"
        raise errors.Unreachable(
            tried=f"ask {url}",
            on=f"{address} port {port}",
            happened=reason or "no answer",
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
        happened=why(failure) or "no answer",
        do="Look whether the host runs, has its address, and the service listens there",
    )


def ssh_host_keys(address: str, port: int = 22, timeout_s: float = 5.0, types: Iterable[str] = ()) -> tuple[str, ...]:
    """The host keys an SSH server offers, as `type base64`, sorted; of these types alone where they are named.

    Each type costs a connection of its own.
    """
    asked = sorted({_SCANNED[name] for name in types if name in _SCANNED} or set(_SCANNED.values()))
    argv = ["ssh-keyscan", "-T", f"{max(1, round(timeout_s))}", "-t", ",".join(asked), "-p", str(port), address]
    ended = run_tool(argv, timeout_s + 5, "openssh-client")
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
