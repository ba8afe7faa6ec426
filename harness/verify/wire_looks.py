"""Look at the wire where silence is an answer, too: the promise is that somebody is there."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TypeVar

from harness import probe
from harness.errors import Unreachable
from harness.evidence import Evidence
from harness.verify.expect import show

T = TypeVar("T")


def banner(address: IPv4Address, port: int, evidence: Evidence) -> str | None:
    """What an SSH server says first."""
    asked = f"SSH banner of {address}:{port}"
    try:
        return recorded(evidence, asked, lambda: probe.ssh_banner(str(address), port))
    except Unreachable as silence:
        evidence.record("net", asked, f"nothing: {silence.happened}")
        return None


def is_open(address: IPv4Address, port: int, evidence: Evidence) -> bool:
    """Whether a connection is taken."""
    asked = f"TCP connection to {address}:{port}"
    try:
        return recorded(evidence, asked, lambda: probe.tcp_open(str(address), port))
    except Unreachable as silence:
        evidence.record("net", asked, f"nothing: {silence.happened}")
        return False


def health(url: str, address: IPv4Address, evidence: Evidence) -> str:
    """The status line, or why there is none."""
    asked = f"GET {url} at {address}"
    try:
        return recorded(evidence, asked, lambda: probe.http_status(url, str(address)))
    except Unreachable as silence:
        evidence.record("net", asked, f"nothing: {silence.happened}")
        return f"nothing ({silence.happened})"


def recorded(evidence: Evidence, asked: str, look: Callable[[], T]) -> T:
    answer = look()
    evidence.record("net", asked, show(answer))
    return answer
