"""Find a guest's backups and judge the newest one, by the node's own clock."""

from __future__ import annotations

from harness.contract import Contract, Guest
from harness.errors import Invalid, Unsafe
from harness.observed import ObservedGuest
from harness.plan.losses import Kept, backup_faults, not_ours, said_age
from harness.pve import backups, read
from harness.pve.backups import Archive, Saved
from harness.pve.client import Client


def backup_storages(contract: Contract, client: Client) -> tuple[str, ...]:
    """Where backups may lie: the job's storage first."""
    hypervisor = contract.hypervisor
    seen = read.read_visible_storages(client, hypervisor.node, thin_pools=False)
    usable = [one.name for one in seen if one.enabled and "backup" in one.content]
    first = hypervisor.backup.storage if hypervisor.backup else None
    return tuple(sorted(usable, key=lambda name: (name != first, name)))


def target_storage(contract: Contract, client: Client) -> str:
    storages = backup_storages(contract, client)
    if not storages:
        raise Invalid(
            tried="back up",
            on=f"site {contract.site}",
            happened=f"no storage of {contract.hypervisor.node} that {client.who} may use takes backups",
            do="Declare `backup` in the content of one (mgmt_hypervisor.storages), then run "
            f"{contract.invoke('bootstrap')}",
        )
    return storages[0]


def archives_of(contract: Contract, client: Client, guest: Guest) -> tuple[Archive, ...]:
    """Newest first. Those of a VM that is gone can be named, and not read."""
    node = contract.hypervisor.node
    storages = backup_storages(contract, client)
    found = [one for name in storages for one in backups.read_archives(client, node, name) if one.vmid == guest.vmid]
    if not found and not read.vmid_is_taken(client, guest.vmid):
        found = [one for name in storages for one in backups.read_archives_of_nobody(client, node, name, guest.vmid)]
    return tuple(sorted(found, key=lambda archive: archive.made_at, reverse=True))


def choose_archive(contract: Contract, client: Client, guest: Guest, volid: str | None) -> Archive:
    """The one that is named, or the newest."""
    found = archives_of(contract, client, guest)
    if volid is None and found:
        return found[0]
    chosen = next((one for one in found if one.volid == volid), None)
    if chosen is not None:
        return chosen
    known = ", ".join(one.volid for one in found) or "none"
    other = backups.vmid_of(volid) if volid else None
    of_another = f"{volid} is a backup of VM {other}, not of {guest.vmid}" if other not in (None, guest.vmid) else ""
    raise Invalid(
        tried="restore",
        on=f"{guest.name} (VM {guest.vmid})",
        happened=(of_another or f"there is no backup {volid or 'of it'}") + "; nothing was changed",
        do=f"Name one of its backups ({_listed(contract, guest)}): {known}",
    )


def _listed(contract: Contract, guest: Guest) -> str:
    return contract.invoke(f"backup.list --guest {guest.name}")


def require_young_backup(contract: Contract, client: Client, guest: Guest, vm: ObservedGuest, *, to: str) -> Kept:
    """The newest backup, when it makes up for the VM."""
    kept = newest_kept(contract, client, guest)
    faults = list(backup_faults(contract.site, guest, vm, kept, contract.backup_max_age_s))
    if kept is None or faults:
        raise Unsafe(
            tried=to,
            on=f"{guest.name} (VM {guest.vmid})",
            happened=f"{'; '.join(faults)}; nothing was changed",
            do=f"Make one: {contract.invoke(f'backup.now --guest {guest.name}')}; "
            "or say --without-backup and lose what it holds",
        )
    return kept


def newest_kept(contract: Contract, client: Client, guest: Guest) -> Kept | None:
    found = archives_of(contract, client, guest)
    if not found:
        return None
    node, newest = contract.hypervisor.node, found[0]
    saved = backups.read_saved(client, node, newest.volid)
    age_s = max(0.0, float(backups.read_clock(client, node) - newest.made_at))
    return Kept(newest.volid, age_s, newest.size_bytes or 0, saved.vm, saved.disks)


def require_of_guest(contract: Contract, guest: Guest, archive: Archive, saved: Saved) -> None:
    """A VMID may have been somebody else's when the backup was made."""
    if (why := not_ours(contract.site, guest, saved.vm)) is not None:
        raise Unsafe(
            tried="restore",
            on=f"{guest.name} (VM {guest.vmid})",
            happened=f"the backup {archive.volid} is not of this guest: {why}; nothing was changed",
            do=f"Name another one: {_listed(contract, guest)}",
        )


def said_archive(archive: Archive, now: float) -> str:
    marks = ", protected" if archive.protected else ""
    return f"{archive.volid}: {said_age(max(0.0, now - archive.made_at))} old, {said_size(archive.size_bytes)}{marks}"


def said_size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "size unknown"
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 1 << 10:
            return f"{size_bytes} {unit}"
        size_bytes //= 1 << 10
    return f"{size_bytes} GiB"
