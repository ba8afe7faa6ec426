"""The same site again and again: reset in a moment, provisioned by a process that may be killed, judged at its end."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.contract import BackupJob
from harness.engine.events import Provisioned
from harness.wait import wait_until
from tests.engine.world import GUESTS, World, world_of
from tests.pve.served import make_certificate
from tests.simulators import simulating

# What differs between two clones made alike.
BACKUPS = {"content": "backup"}
OWN = ("digest", "smbios1", "vmgenid", "meta")
# Long enough for a run to be killed, and the next one to come, while PVE's worker is in the middle of it.
SLOW = {"qmclone": 8.0, "qmstart": 2.0, "vzdump": 2.0}  # at the simulator's pace, a twentieth of it
JOB = BackupJob("nightly", "local", "02:00", {"last": 3})
MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder in it; the simulator syncs each change to its disk


@dataclass
class Arena:
    world: World
    saves: bool  # with each guest's first backup

    def provision(self, **changes: Any) -> Provisioned:
        return self.world.provision(saves=self.saves, **changes)

    def reset(self) -> None:
        """As seeded: no guest, no journal, no fault, no record of anything."""
        self.control(op="clear-faults")
        self.control(op="restore", name="start")
        self.control(op="reset-counters")
        folder = self.world.simulated.folder
        for path in (self.world.contract.state_dir, self.world.wire.folder):
            shutil.rmtree(path, ignore_errors=True)
        for name in ("boots", "power"):
            (folder / name).unlink(missing_ok=True)
        self.world.events.clear()

    def slow_down(self) -> None:
        """From now on PVE's workers take their time."""
        for task, seconds in SLOW.items():
            self.control(op="fault", kind="task-stall", task=task, times=-1, seconds=seconds)

    def control(self, **request: Any) -> Any:
        """Asked until a simulator that is being restarted answers."""

        def look() -> tuple[tuple[Any] | None, str]:
            try:
                return (self.world.simulated.control(**request),), "answered"
            except (OSError, json.JSONDecodeError) as error:
                return None, str(error)

        waited = wait_until(look, deadline_s=10, first_pause_s=0.01, longest_pause_s=0.05)
        assert waited.value is not None, waited.last_seen
        return waited.value[0]

    def lives(self) -> int:
        return len((self.world.simulated.folder / "lives").read_text().splitlines())

    def loses_power(self) -> None:
        """From now on the simulator's end is the machine's."""
        (self.world.simulated.folder / "power").touch()

    def provision_apart(self, kind: str, call: int) -> bool:
        """Provision in a process that the simulator kills at that call; False when it ended before."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(reading, 1)
            # A connection is no two processes': what one says on it, the other could not read on.
            self.world.wire.client = self.world.simulated.reader()
            try:
                self.provision()
            finally:
                os._exit(0)
        os.close(reading)
        self.control(op="fault", kind=kind, at=call, pid=child)
        os.write(writing, b"x")
        os.close(writing)
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)

    def boots(self) -> list[tuple[int, list[str]]]:
        path = self.world.simulated.folder / "boots"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line["vmid"], line["macs"]) for line in map(json.loads, lines)]

    def end_state(self) -> dict[str, Any]:
        """Everything the site and this machine have of it, without what two clones never share."""
        root = self.world.simulated.root()
        vms = {vmid: self.world.config(vmid) for vmid in self.world.vmids()}
        volumes = root.get("/nodes/hv01/storage/local-lvm/content")
        identities = self.world.wire.folder
        return {
            "vms": {vmid: {key: config[key] for key in config if key not in OWN} for vmid, config in vms.items()},
            "volumes": sorted(entry["volid"] for entry in volumes),
            "pool": sorted(member["vmid"] for member in root.get("/pools/mgmt")["members"]),
            "pinned": sorted(self.world.wire.learned.read_text().splitlines()),
            "identities": sorted(path.name for path in identities.iterdir()),
            "backups": sorted(entry["vmid"] for entry in root.get("/nodes/hv01/storage/local/content", BACKUPS)),
        }

    def assert_no_foreign_mac(self) -> None:
        declared = {int(guest.vmid): [str(guest.nic.mac)] for guest in GUESTS}
        for vmid, macs in self.boots():
            assert [mac.lower() for mac in macs] == declared[vmid], f"VM {vmid} was booted with {macs}"

    def assert_ends_as(self, undisturbed: dict[str, Any]) -> None:
        self.assert_no_foreign_mac()
        assert self.end_state() == undisturbed
        assert self.world.plan_is_empty()


@contextmanager
def arena(*, saves: bool = False) -> Iterator[tuple[Arena, dict[str, Any]]]:
    """An arena of five guests, and the state that an undisturbed run ends in."""
    with tempfile.TemporaryDirectory(prefix="mgmt-arena-", dir=MEMORY if MEMORY.is_dir() else None) as name:
        folder = Path(name)
        with simulating(folder, *make_certificate(folder), is_kept=True) as simulated:
            world = world_of(simulated, GUESTS)
            world.wire.pvesh = folder / "state" / "pvesh.sock"
            world.contract = replace(world.contract, hypervisor=replace(world.contract.hypervisor, backup=JOB))
            made = Arena(world, saves)
            made.control(op="snapshot", name="start")
            done = made.provision()
            assert not done.failed
            yield made, made.end_state()
