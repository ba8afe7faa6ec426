"""Ask the wire itself: DNS answers, open ports, banners, certificates, and who already has an address."""

from harness.probe.names import dns_software, resolve_a, resolve_cname, resolve_ptr
from harness.probe.ports import http_status, ssh_banner, ssh_host_keys, tcp_open, tls_fingerprint
from harness.probe.presence import answers_at, awaiting, own_macs

__all__ = [
    "answers_at",
    "awaiting",
    "dns_software",
    "http_status",
    "own_macs",
    "resolve_a",
    "resolve_cname",
    "resolve_ptr",
    "ssh_banner",
    "ssh_host_keys",
    "tcp_open",
    "tls_fingerprint",
]
