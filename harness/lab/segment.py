"""The lab's switch and router on their own: the network of a hypervisor that somebody else runs."""

from __future__ import annotations

from collections.abc import Callable

from harness.errors import Invalid
from harness.lab import cgroups, machines
from harness.lab.booting import SSH_PORT, require_booted, wait_listening
from harness.lab.cable import plug_in
from harness.lab.credentials import make_router_keys
from harness.lab.disks import write_router
from harness.lab.lifecycle import modes_as_written
from harness.lab.links import remove_link, require_free_network
from harness.lab.lock import one_at_a_time
from harness.lab.paths import CACHE, FILES, Place
from harness.lab.rootfs import ensure_rootfs
from harness.lab.spec import LabSpec
from harness.lab.status import DNS_PORT
from harness.lab.trees import remove_tree, write_tree

KEYS = "router-keys"


def start_segment(spec: LabSpec, place: Place, authorized_key: str, *, progress: Callable[[str], None]) -> str:
    """The switch and the router of that site, running; the router's public host key."""
    if spec.router_kind != "dnsmasq":
        raise Invalid(
            tried=f"bring the network of site {spec.site} up",
            on=spec.router.name,
            happened=f"its router is of kind {spec.router_kind}, and only the whole lab has those",
            do="Declare mgmt_router.kind: dnsmasq",
        )
    require_free_network(spec, place)
    with one_at_a_time():  # the tree is the lab's as well
        CACHE.mkdir(parents=True, exist_ok=True)
        rootfs = ensure_rootfs(progress)
    with modes_as_written():
        write_tree(FILES / "bin", place.bin, {})
        keys = make_router_keys(spec.router, authorized_key, place.state / KEYS)
        folder = write_router(spec, keys, rootfs, None, place)
    progress(f"Starting router {spec.router.name}")
    machines.start_switch(place)
    plug_in(spec, "none", place)
    machines.start_machine(folder, place)
    machines.wait_started(folder)
    require_booted(spec.router, place)
    wait_listening(spec.router, DNS_PORT, "dnsmasq", place)
    wait_listening(spec.router, SSH_PORT, "ssh", place)
    return keys.host_keys[spec.router.name].public


def end_segment(place: Place) -> None:
    """No process of that place, of whatever kind, and none of its links and files is left."""
    cgroups.end(cgroups.group_named(place.group))
    remove_link(place)
    remove_tree(place.state)
