"""The lab's one link into this machine's own network: is its network free, and take it away."""

from __future__ import annotations

import json
import subprocess
from ipaddress import IPv4Interface
from pathlib import Path

from harness.errors import Unsafe
from harness.lab.commands import environment, run
from harness.lab.paths import LINK
from harness.lab.spec import LabSpec


def require_free_network(spec: LabSpec) -> None:
    """Refuse when one of this machine's own interfaces is in the lab's network."""
    listed = json.loads(run(["ip", "-json", "-4", "address"], tried="list the addresses", do="Check that `ip` works"))
    for interface in listed:
        for address in interface["addr_info"]:
            there = IPv4Interface(f"{address['local']}/{address['prefixlen']}").network
            if interface["ifname"] != LINK and there.overlaps(spec.network) and there.prefixlen > 0:
                raise Unsafe(
                    tried="bring the lab up",
                    on="this machine",
                    happened=f"its {interface['ifname']} is in {there}, which overlaps the lab's {spec.network}",
                    do="Take that interface down or run the lab on another machine",
                )


def remove_link() -> None:
    """Take the link away now; the kernel would do it some time after the lab's last process."""
    if Path(f"/sys/class/net/{LINK}").exists():
        subprocess.run(["ip", "link", "delete", LINK], check=False, capture_output=True, env=environment())
