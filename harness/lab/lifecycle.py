"""Bring the lab up, whatever an earlier run left, and take it down so that nothing of it remains."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from harness.embedded import STATE
from harness.errors import HarnessError
from harness.lab import cgroups, machines
from harness.lab.access import take_work
from harness.lab.booting import SSH_PORT, require_booted, wait_booted, wait_listening
from harness.lab.cable import plug_in, replug
from harness.lab.credentials import Credentials, make_credentials
from harness.lab.disks import replace_dnsmasq, write_guest_image, write_hypervisor, write_router
from harness.lab.links import remove_link, require_free_network
from harness.lab.lock import one_at_a_time
from harness.lab.packages import INSTALLED, ensure_hypervisor_layer, ensure_packages
from harness.lab.paths import BIN, CACHE, FILES, MACHINES
from harness.lab.record import Record, made_from, read_record, record_of, write_record
from harness.lab.requirements import require, require_root
from harness.lab.rootfs import ensure_rootfs
from harness.lab.spec import HypervisorState, LabSpec, LabStatus, Latency, Work
from harness.lab.status import DNS_PORT, is_whole, status
from harness.lab.trees import remove_tree, write_tree

Progress = Callable[[str], None]

API_PORT = 8006
ROUTER_API_PORT = 443
HTTP_PORT = 80


def up(spec: LabSpec, *, progress: Progress, anew: Callable[[], None] = lambda: None) -> LabStatus:
    """The lab of that spec, running; nothing is done when it already runs. `anew` hears that a new one is made."""
    require()
    with one_at_a_time(), modes_as_written():
        record = read_record()
        if record is None or not is_whole(record) or record.made_from != made_from(spec):
            if record is not None:
                progress("The lab that is there is broken or another one: making it anew")
            _make(spec, progress, anew)
        else:
            _change(spec, record, progress)
        return status()


def build(progress: Progress) -> None:
    """Everything that a lab takes from the network, and what is built of it once: no `up` needs a network then."""
    require()
    with one_at_a_time(), modes_as_written():
        _build(progress)


def down(progress: Progress) -> None:
    """No process, namespace, mount, control group, link or state of the lab is left; what was built stays cached."""
    require_root(tried="take the lab down")
    with one_at_a_time():
        progress("Taking the lab down")
        _remove_everything()


def _make(spec: LabSpec, progress: Progress, anew: Callable[[], None]) -> None:
    _remove_everything()
    anew()
    require_free_network(spec)
    try:
        credentials = _prepare(spec, progress)
        latency = spec.latency or "none"
        _start(spec, latency, progress)
        write_record(record_of(spec, latency, credentials.fingerprint))
        _change_work(spec, "instant", progress)
    except BaseException as error:  # Ctrl-C too: half a lab is of no use to anybody
        try:
            _remove_everything()
        except HarnessError as left:
            error.add_note(str(left))
        raise


def _change(spec: LabSpec, record: Record, progress: Progress) -> None:
    """What can be changed while the lab runs."""
    has_changed = _change_work(spec, status().work, progress)
    latency = spec.latency or record.latency
    if latency != record.latency:
        progress(f"Putting the lab at another distance: {latency}")
        replug(spec, latency)
        write_record(replace(record, latency=latency))
    if record.dnsmasq != dict(spec.dnsmasq):
        progress("Giving the router its new configuration")
        _change_router(spec, replace(record, latency=latency))
    elif latency == record.latency and not has_changed:
        progress("The lab is up already")
        for machine in (spec.router, spec.hypervisor):  # one of them may be rebooting just now
            wait_booted(machine)


def _change_work(spec: LabSpec, now: Work | None, progress: Progress) -> bool:
    """Whether there was anything to change; the simulator remembers it."""
    if spec.work is None or spec.work == now:
        return False
    progress(f"Letting PVE's tasks take their time: {spec.work}")
    take_work(spec.work)
    return True


@contextmanager
def modes_as_written() -> Iterator[None]:
    """Machines' files get the modes we say, whatever umask the user has."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


def _build(progress: Progress) -> tuple[Path, Path, dict[HypervisorState, Path]]:
    """The Debian tree, the package repository, and what lies over the tree of a hypervisor in each state."""
    CACHE.mkdir(parents=True, exist_ok=True)
    rootfs = ensure_rootfs(progress)
    packages = ensure_packages()
    layers = {state: ensure_hypervisor_layer(state, rootfs, packages, progress) for state in INSTALLED}
    _forget_old_builds(rootfs, packages, *layers.values())
    return rootfs, packages, layers


def _prepare(spec: LabSpec, progress: Progress) -> Credentials:
    rootfs, packages, layers = _build(progress)
    progress("Writing keys, certificates and disks")
    STATE.mkdir(mode=0o700, parents=True)
    write_tree(FILES / "bin", BIN, {})
    credentials = make_credentials(spec)
    write_guest_image(spec, credentials, rootfs)
    write_router(spec, credentials, rootfs, packages)
    write_hypervisor(spec, credentials, [layers[spec.hypervisor_state], rootfs], packages)
    return credentials


def _forget_old_builds(*kept: Path) -> None:
    """What an older recipe built is never used again."""
    for folder in set(CACHE.iterdir()) - set(kept):
        remove_tree(folder)


def _start(spec: LabSpec, latency: Latency, progress: Progress) -> None:
    progress(f"Starting router {spec.router.name} and hypervisor {spec.hypervisor.name}")
    machines.start_switch()
    plug_in(spec, latency)
    both = (spec.router, spec.hypervisor)
    for machine in both:
        machines.start_machine(MACHINES / machine.name)
    for machine in both:
        machines.wait_started(MACHINES / machine.name)
    for machine in both:
        require_booted(machine)
    wait_listening(spec.router, DNS_PORT, "dnsmasq" if spec.router_kind == "dnsmasq" else "unbound")
    if spec.router_kind != "dnsmasq":
        wait_listening(spec.router, ROUTER_API_PORT, "router-api")
    wait_listening(spec.router, SSH_PORT, "ssh")
    wait_listening(spec.router, HTTP_PORT, "artifacts")
    wait_listening(spec.hypervisor, SSH_PORT, "ssh")
    wait_listening(spec.hypervisor, API_PORT, "pveproxy")


def _change_router(spec: LabSpec, record: Record) -> None:
    """Other files for the running dnsmasq; the old ones stay when it does not understand the new ones."""
    folder = MACHINES / spec.router.name
    tree = Path(f"/proc/{machines.running(folder)}/root")
    replace_dnsmasq(tree, old=record.dnsmasq, new=spec.dnsmasq)
    try:
        machines.run_inside(folder, "dnsmasq", "--test", tried="read the new dnsmasq configuration")
    except HarnessError:
        replace_dnsmasq(tree, old=spec.dnsmasq, new=record.dnsmasq)
        raise
    machines.run_inside(folder, "systemctl", "restart", "dnsmasq", tried="restart dnsmasq")
    wait_listening(spec.router, DNS_PORT, "dnsmasq")
    write_record(record_of(spec, record.latency, record.fingerprint))


def _remove_everything() -> None:
    cgroups.end_all()
    remove_link()
    for folder in (STATE, *CACHE.glob("unfinished-*")):
        remove_tree(folder)
