"""Give the nested site's router a way out: packages come from the net, and nothing of this machine is changed for it.

slirp4netns makes connections of this machine's own out of what the router sends: no forwarding, no address translation
and no firewall rule here, and no way back in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import TimedOut
from harness.lab import Place, at_the_machine, launch, run_program
from harness.wait import wait_until

LINK = "wan0"
RESOLVER = "10.0.2.3"  # slirp4netns's own; it asks whom this machine asks
# For dnsmasq, beside the files that the inventory gives: foreign names are asked for outside.
FORWARD: Mapping[str, str] = {"uplink.conf": f"server={RESOLVER}\n"}
START_S = 10.0


def start_uplink(place: Place, router: Path) -> None:
    """The router's link to the outside; `router` is its machine folder."""
    folder = place.machines / "uplink"
    folder.mkdir(parents=True)
    network = at_the_machine(router)[-1].removeprefix("--net=")
    launch(
        folder,
        ["slirp4netns", "--configure", "--mtu=1500", "--disable-host-loopback", "--netns-type=path", network, LINK],
        place,
    )
    _wait_for_link(router, folder / "console.log")
    # slirp4netns asks by ARP who has the hypervisor's address; the router answers for everything behind it.
    settings = f"echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/{LINK}/proxy_arp"
    run_program(
        [*at_the_machine(router), "sh", "-euc", settings],
        tried="let the router forward",
        do="Look whether this machine lets a network namespace change its settings below /proc/sys/net",
    )


def _wait_for_link(router: Path, log: Path) -> None:
    def look() -> tuple[bool | None, str]:
        listed = run_program(
            [*at_the_machine(router), "ip", "-o", "route"],
            tried="look at the router's routes",
            do=f"Read what the router says: {router / 'console.log'}",
        )
        return (True if f"default via 10.0.2.2 dev {LINK}" in listed else None), log.read_text(errors="replace").strip()

    waited = wait_until(look, deadline_s=START_S, first_pause_s=0.05, longest_pause_s=0.2)
    if waited.value is None:
        raise TimedOut(
            tried="start the router's uplink",
            on="this machine",
            happened=f"slirp4netns was not up after {waited.seconds:.0f} s and said: {waited.last_seen or 'nothing'}",
            do="Look whether /dev/net/tun can be opened here",
        )
