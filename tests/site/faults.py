"""What several tests seed into the lab, and what verify said of it."""

from __future__ import annotations

from typing import Any

from tests.site.driver import Site


def start_second_server(site: Site) -> None:
    options = "--conf-file=/dev/null --port=0 --dhcp-range=198.18.99.200,198.18.99.210,255.255.255.0,1h"
    site.run("oob-vm01", f"sudo dnsmasq {options} --pid-file=/run/second.pid --dhcp-leasefile=/run/second.leases")


def end_second_server(site: Site) -> None:
    site.run("oob-vm01", "sudo sh -c 'kill $(cat /run/second.pid)'")


def messages(result: dict[str, Any]) -> dict[str, str]:
    """Every sentence of each broken clause."""
    return {
        clause["id"]: " / ".join(check["message"] for check in clause["checks"] if check["verdict"] == "fail")
        for clause in result["clauses"]
        if clause["verdict"] == "fail" or any(check["verdict"] == "fail" for check in clause["checks"])
        if clause["verdict"] != "waived"
    }
