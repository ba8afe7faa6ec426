"""The nested VM of a site comes up from its golden disk behind the lab's router, and goes without leaving anything."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from harness import instance, lab, nested
from harness.commands.nested import make_credentials, spec_of
from harness.contract import Contract
from harness.drills.record import read_record, write_record
from harness.errors import HarnessError, Missing, Unsafe, Untrusted
from harness.instance.monitor import open_monitor
from harness.instance.place import MONITOR, OVERLAY, place_of
from harness.lab import Place, cgroups
from harness.nested import Golden
from harness.remote import ssh
from harness.site import open_contract
from harness.wait import wait_until
from tests.nested.conftest import Built, Lines, cached_in
from tests.nested.running import machines_about
from tests.nested.sites import nested_site
from tests.sites import CUT_OFF

ROOT = Path(__file__).parents[2]
UP_S = 60.0  # what a second start may take without KVM
OUTSIDE = "198.51.100.1"  # an address for documentation (RFC 5737)
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ1qSYHnTqHkDfc0s9uYmqD1QzUcYHkT4b0h1WgJc2E"


@dataclass(frozen=True)
class Site:
    """A site with its golden disk, and the environment of its commands."""

    contract: Contract
    golden: Golden
    inventory: Path
    environment: dict[str, str]

    @property
    def place(self) -> Place:
        return place_of(self.contract.site)

    def invoke(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "invoke", *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def inside(self, command: str) -> ssh.Result:
        """The output of a command of the nested hypervisor, whose host key is the pinned one."""
        login = ssh.hypervisor_login(self.contract)
        with ssh.connections([login]) as opened:
            return ssh.run(opened, login.name, command, timeout_s=60.0)


@pytest.fixture(scope="module")
def site(golden: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if lacks := lab.missing_requirements():
        pytest.skip("; ".join(lack.what for lack in lacks))
    if place_of("nested").state.exists():
        pytest.skip("somebody's nested VM is up: ./invoke nested.down")
    state = tmp_path_factory.mktemp("state")
    told = {"MGMT_HARNESS_STATE": str(state), "MGMT_NESTED_CACHE": str(golden.spec.cache)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        contract = open_contract(golden.inventory, "nested")
        yield Site(contract, golden.golden, golden.inventory, {**os.environ, **told})
        instance.down("nested", lambda _: None)


@pytest.fixture(scope="module")
def up(site: Site) -> instance.Record:
    write_record(site.contract.state_dir, CUT_OFF)  # on a former one
    return instance.up(site.contract, site.golden, lambda _: None)


@pytest.fixture
def outside() -> Iterator[str]:
    """Something to fetch at an address that only this machine has: for the nested site it is somewhere in the world."""
    subprocess.run(["ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo"], check=True)
    try:
        with HTTPServer((OUTSIDE, 0), Greeting) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield f"http://{OUTSIDE}:{server.server_port}/"
            server.shutdown()
            thread.join()
    finally:
        subprocess.run(["ip", "address", "delete", f"{OUTSIDE}/32", "dev", "lo"], check=True)


class Greeting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from outside")

    def log_message(self, *_: object) -> None:
        """A test prints nothing."""


def traces(place: Place) -> list[str]:
    """What is left of a nested VM on this machine."""
    found = [f"process {pid}" for pid in machines_about(place.state)]
    left = (place.state, cgroups.group_named(place.group), Path("/sys/class/net") / place.link)
    return found + [str(path) for path in left if path.exists()]


def test_comes_up_within_a_minute_without_kvm(site: Site, up: instance.Record) -> None:
    assert up.version == site.golden.installed.product_version
    assert up.seconds <= UP_S or up.accelerator == "kvm"
    found = instance.status("nested")
    assert (found.up, found.state) == (True, "running")


def test_its_certificate_is_pinned_as_it_was_read_over_ssh(site: Site, up: instance.Record) -> None:
    there = site.inside("openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem")
    assert there.stdout.strip().partition("=")[2] == up.fingerprint
    assert (site.place.state / "api.fingerprint").read_text().strip() == up.fingerprint


def test_a_vm_inside_gets_its_reserved_address_from_the_router(site: Site, up: instance.Record) -> None:
    guest, router = site.contract.guests[0], site.contract.router
    leased = site.inside(f"lease-as {guest.nic.mac}")
    assert leased.stdout.split() == [str(guest.nic.address.ip), str(router.address), str(router.dns)]
    assert str(guest.nic.address.ip) in {lease.address for lease in instance.status("nested").leases}


def test_it_reaches_the_outside_through_its_router(site: Site, up: instance.Record, outside: str) -> None:
    assert site.inside(f"wget -q -O - {outside}").stdout == "from outside"


def test_a_mac_that_nobody_declared_gets_nothing(site: Site, up: instance.Record) -> None:
    assert not site.inside("lease-as 02:de:98:0f:0f:0f").succeeded


def test_up_again_does_nothing(site: Site, up: instance.Record) -> None:
    before = instance.status("nested").pid
    assert site.invoke("nested.up", "--inventory", str(site.inventory)).returncode == 0
    assert instance.status("nested").pid == before


def test_the_status_tells_a_program_how_to_reach_it(site: Site, up: instance.Record) -> None:
    told = json.loads(site.invoke("nested.status", "--json").stdout)
    assert (told["record"]["url"], told["record"]["fingerprint"]) == (site.contract.hypervisor.api.url, up.fingerprint)


def test_another_site_in_the_same_network_is_refused_and_hurts_nobody(
    site: Site, up: instance.Record, tmp_path: Path
) -> None:
    with pytest.raises(Unsafe, match="overlaps"):
        instance.up(other_site(site, tmp_path), site.golden, lambda _: None)
    assert traces(place_of("nested-other")) == []
    assert instance.status("nested").up


def test_a_vm_that_is_too_large_is_refused_before_anything_starts(site: Site, tmp_path: Path) -> None:
    contract = other_site(site, tmp_path)
    assert contract.nested is not None
    large = replace(contract.nested, machine=replace(contract.nested.machine, memory_mib=2**30))
    with pytest.raises(Missing, match="MiB of memory"):
        instance.up(replace(contract, nested=large), site.golden, lambda _: None)
    assert traces(place_of("nested-other")) == []


def test_a_second_site_runs_beside_it(site: Site, up: instance.Record, base_iso: Path, tmp_path: Path) -> None:
    second = second_site(base_iso, tmp_path)
    with cached_in(tmp_path / "cache"):
        make_credentials(second)
        golden = nested.build(spec_of(second), Lines())
    try:
        beside = instance.up(second, golden, lambda _: None)
        told = [
            Site(one, golden, tmp_path, {}).inside("cat /etc/fqdn; ip -o addr show vmbr0")
            for one in (site.contract, second)
        ]
        assert [str(site.contract.hypervisor.address) in told[0].stdout, beside.address in told[1].stdout] == [
            True,
            True,
        ]
        assert beside.fingerprint != up.fingerprint
        assert [instance.status(name).up for name in ("nested", "nested-second")] == [True, True]
    finally:
        instance.down("nested-second", lambda _: None)
    assert traces(place_of("nested-second")) == []
    assert instance.status("nested").up


def test_what_was_done_on_a_former_machine_is_forgotten(site: Site, up: instance.Record) -> None:
    assert read_record(site.contract.state_dir, CUT_OFF.drill) is None


def test_one_that_powers_off_is_not_called_up(site: Site, up: instance.Record) -> None:
    assert instance.status("nested").state == "running"
    with open_monitor(site.place.state / MONITOR) as monitor:
        monitor.execute("system_powerdown")
        heard: list[str] = []

        def shut_down() -> tuple[bool | None, str]:
            heard.extend(event["event"] for event in monitor.events() if event.get("data", {}).get("guest", True))
            return (True if "SHUTDOWN" in heard else None), ", ".join(heard)

        assert wait_until(shut_down, deadline_s=60.0).value, heard
    waited = wait_until(lambda: (None if instance.status("nested").up else True, "up"), deadline_s=60.0)
    assert waited.value
    assert "broken" in instance.status("nested").state


def test_down_leaves_nothing_and_the_golden_disk_as_it_was(site: Site, up: instance.Record) -> None:
    assert site.invoke("nested.down").returncode == 0
    assert traces(site.place) == []
    assert site.golden.disk.exists()
    assert instance.serial_log_of("nested").read_text(errors="replace").strip()


def test_down_where_nothing_is_up_is_no_error(site: Site) -> None:
    assert site.invoke("nested.down", "--site", "nested-other").returncode == 0


@pytest.mark.parametrize("moment", ["overlay", "qemu"])
def test_a_run_that_was_killed_leaves_only_what_the_next_one_removes(site: Site, moment: str) -> None:
    reached: dict[str, Callable[[], bool]] = {
        "overlay": (site.place.state / OVERLAY).exists,
        "qemu": lambda: bool(machines_about(site.place.state)),
    }
    run = subprocess.Popen(
        [ROOT / "invoke", "nested.up", "--inventory", str(site.inventory)],
        env=site.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    waited = wait_until(lambda: (reached[moment]() or None, "not yet"), deadline_s=90.0, longest_pause_s=0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert waited.value
    assert instance.status("nested").state == "half started"
    assert site.invoke("nested.down").returncode == 0
    assert traces(site.place) == []


def test_a_vm_with_another_host_key_is_not_trusted_and_not_left_running(site: Site) -> None:
    told = replace(site.golden.installed, host_keys=(OTHER_KEY,))
    with pytest.raises(Untrusted):
        instance.up(site.contract, replace(site.golden, installed=told), lambda _: None)
    assert traces(site.place) == []


def test_a_disk_that_does_not_boot_is_named_by_qemus_own_words(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "golden"
    folder.mkdir()
    (folder / "disk.qcow2").write_bytes(b"no disk at all")
    with pytest.raises(HarnessError, match="qemu-img said"):
        instance.up(site.contract, replace(site.golden, folder=folder), lambda _: None)
    assert traces(site.place) == []


def test_the_acceptance_keeps_its_artefacts_when_a_stage_fails_and_takes_the_site_down(
    site: Site, tmp_path: Path
) -> None:
    """The stand-in is no Proxmox VE: bootstrap says so, and everything that was found until then is kept."""
    kept = tmp_path / "kept"
    ended = site.invoke("acceptance", "--inventory", str(site.inventory), "--artifacts", str(kept))
    told = json.loads((kept / "summary.json").read_text())
    verdicts = {stage["name"]: stage["verdict"] for stage in told["stages"]}
    assert ended.returncode == 2
    assert (verdicts["build"], verdicts["up"], verdicts["down"]) == ("good", "good", "good")
    assert verdicts["bootstrap"] == "could not"
    assert {verdicts[name] for name in ("provision", "verify", "report")} == {"skipped"}
    assert "login:" in (kept / "consoles/nested-serial.log").read_text(errors="replace")
    assert any("Installation done" in file.read_text(errors="replace") for file in (kept / "consoles").iterdir())
    assert (kept / "summary.md").read_text().startswith("## Acceptance of site nested: no verdict")
    assert traces(site.place) == []


def second_site(iso: Path, folder: Path) -> Contract:
    """A site with a network of its own."""
    inventory = nested_site(folder, iso)
    (inventory / "nested").rename(inventory / "nested-second")
    for file in inventory.rglob("*.yml"):
        text = file.read_text().replace("198.18.98.", "198.18.97.")
        file.write_text(text.replace("/var/lib/mgmt-nested/nested/", "/var/lib/mgmt-nested/nested-second/"))
    return open_contract(inventory, "nested-second")


def other_site(site: Site, folder: Path) -> Contract:
    """The same site under another name."""
    target = folder / "inventory/nested-other"
    shutil.copytree(site.inventory / "nested", target)
    return open_contract(target.parent, "nested-other")
