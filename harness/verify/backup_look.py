"""Read what PVE knows of the backups with no more than the right to audit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.contract import Contract
from harness.pve import backups
from harness.pve.backup_runs import BackupRun, read_runs
from harness.pve.client import Client
from harness.verify.backup_facts import BackupFacts


def read_backups(contract: Contract, storages: Sequence[str], client: Client, node: str) -> BackupFacts:
    """The archives on `storages`, and of each guest its last turn and the one its newest archive came of."""
    found = [archive for storage in storages for archive in backups.read_kept(client, node, storage)]
    archives = tuple(sorted(found, key=lambda archive: archive.made_at, reverse=True))
    newest = {
        int(guest.vmid): next((archive for archive in archives if archive.vmid == guest.vmid), None)
        for guest in contract.guests
    }
    runs = read_runs(client, node, newest)
    return BackupFacts(backups.read_clock(client, node), archives, runs, tuple(_asked(node, storages, runs)))


def _asked(node: str, storages: Iterable[str], runs: Iterable[BackupRun]) -> Iterator[str]:
    yield f"GET /nodes/{node}/time"
    for storage in storages:
        yield f"GET /nodes/{node}/storage/{storage}/prunebackups?prune-backups=keep-all%3D1&type=qemu"
    for upid in dict.fromkeys(run.upid for run in runs):
        yield f"GET /nodes/{node}/tasks/{upid}/log?limit=0"
