"""The lab's one link into this machine's own network: is its network free, and take it away."""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Interface
from pathlib import Path

from harness.errors import Unsafe
from harness.lab.commands import environment, run
from harness.lab.paths import LAB, Place
from harness.lab.spec import LabSpec


def require_free_network(spec: LabSpec, place: Place = LAB) -> None:
    """Refuse when one of this machine's own interfaces is in the lab's network."""
    listed = json.loads(run(["ip", "-json", "-4", "address"], tried="list the addresses", do="Check that `ip` works"))
    for interface in listed:
        for address in interface["addr_info"]:
            there = IPv4Interface(f"{address['local']}/{address['prefixlen']}").network
            if interface["ifname"] != place.link and there.overlaps(spec.network) and there.prefixlen > 0:
                raise Unsafe(
                    tried=f"bring the network of site {spec.site} up",
                    on="this machine",
                    happened=f"its {interface['ifname']} is in {there}, which overlaps its {spec.network}",
                    do="Take that interface down or use another machine",
                )


def remove_link(place: Place = LAB) -> None:
    """Take the link away now; the kernel would do it some time after the lab's last process."""
    if Path(f"/proc/sys/net/ipv4/conf/{place.link}").exists():
        subprocess.run(["ip", "link", "delete", place.link], check=False, capture_output=True, env=environment())
