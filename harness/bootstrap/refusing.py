"""Refuse a hypervisor that must not or cannot be bootstrapped, before anything on it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.bootstrap.grants import accounts
from harness.bootstrap.look import Found
from harness.bootstrap.storing import is_storable, where
from harness.contract import Contract, SecretRef
from harness.errors import HarnessError, Unsafe

NEEDED_BYTES = 200 * 2**20  # pve-manager, what it depends on, and apt's lists
LOCAL = frozenset({"dir", "lvm", "lvmthin", "zfspool", "btrfs"})
TRIED = "bootstrap the hypervisor"

Held = Callable[[SecretRef], bool]


def refusals(contract: Contract, found: Found, *, held: Held, rotate: bool) -> Iterator[HarnessError]:
    """Every reason not to begin; `held` tells whether a reference holds a secret now."""
    for rule in (_cluster, _version, _base, _dpkg, _disk, _repository, _nics, _pve, _storages, _time):
        yield from (_refusal(contract, happened, do) for happened, do in rule(contract, found))
    for happened, do in _tokens(contract, found, held, rotate):
        yield _refusal(contract, happened, do)


Reasons = Iterator[tuple[str, str]]


def _refusal(contract: Contract, happened: str, do: str) -> Unsafe:
    return Unsafe(tried=TRIED, on=contract.hypervisor.name, happened=f"{happened}; nothing was changed", do=do)


def _cluster(_: Contract, found: Found) -> Reasons:
    if found.cluster_files or found.is_member:
        seen = f" ({', '.join(found.cluster_files)})" if found.cluster_files else ""
        yield f"it is a member of a cluster{seen}", "Point mgmt_site.hypervisor at a stand-alone host"


def _version(contract: Contract, found: Found) -> Reasons:
    wanted = contract.hypervisor.pve_version
    if found.version is None:
        yield "it has no Proxmox VE: pve-manager is not installed", f"Install Proxmox VE {wanted.split('.')[0]} first"
    elif found.version.split(".")[0] != wanted.split(".")[0]:
        release = f"it runs Proxmox VE {found.version}, and the inventory declares {wanted}"
        yield (
            release,
            f"Install it anew with Proxmox VE {wanted.split('.')[0]}; no upgrade or downgrade leads there",
        )


def _base(contract: Contract, found: Found) -> Reasons:
    wanted = f"debian {contract.hypervisor.debian_release}"
    if found.debian != wanted:
        yield f"its base is {found.debian}, and the inventory declares {wanted}", "Install it with the declared release"


def _dpkg(_: Contract, found: Found) -> Reasons:
    if found.dpkg_complains:
        names = ", ".join(found.unfinished_packages) or found.dpkg_complains.splitlines()[0]
        yield f"dpkg has not finished with {names}", "On the hypervisor: dpkg --configure -a && apt-get install -f"


def _disk(_: Contract, found: Found) -> Reasons:
    short = {folder: free for folder, free in found.free_bytes.items() if free < NEEDED_BYTES}
    if short:
        folder = min(short, key=lambda name: short[name])
        free = f"{short[folder] // 2**20} MiB are free at {folder}, {NEEDED_BYTES // 2**20} MiB are needed"
        yield free, "Make room on the hypervisor, for example with apt-get clean"


def _repository(contract: Contract, found: Found) -> Reasons:
    wanted = contract.hypervisor.pve_version
    if found.repository_error is not None:
        happened = f"the declared package repository does not answer: {found.repository_error}"
        yield happened, "Start the repository, or correct mgmt_hypervisor.packages.repositories"
    elif wanted not in found.offered:
        has = ", ".join(found.offered) or "none"
        happened = f"the declared repositories have no pve-manager {wanted}, but {has}"
        yield happened, "Put that version into the repository, or correct mgmt_hypervisor.packages.repositories"


def _nics(contract: Contract, found: Found) -> Reasons:
    for bridge in contract.hypervisor.bridges:
        if bridge.port is not None and bridge.port not in found.nics:
            happened = f"it has no NIC {bridge.port} for the bridge {bridge.name}, but {', '.join(sorted(found.nics))}"
            yield happened, f"Correct mgmt_hypervisor.bridges.{bridge.name}.port"


def _pve(_: Contract, found: Found) -> Reasons:
    if found.version is not None and (found.storages is None or found.users is None):
        yield f"Proxmox VE itself does not answer there: {found.pve_says}", "Look at its services: systemctl --failed"


def _storages(contract: Contract, found: Found) -> Reasons:
    if found.storages is None:
        return
    held = {storage["storage"]: storage for storage in found.storages}
    for name, storage in held.items():
        if not int(storage.get("disable", 0)) and (storage["type"] not in LOCAL or int(storage.get("shared", 0))):
            kind = f"shared {storage['type']}" if storage["type"] in LOCAL else storage["type"]
            yield (
                f"its storage {name} ({kind}) is shared or remote",
                f"Remove it: pvesm remove {name} (its data stays where it is)",
            )
    for declared in contract.hypervisor.storages:
        seen = held.get(declared.name)
        if seen is None or seen["type"] != declared.type:
            has = f"is of type {seen['type']}" if seen else "is not there"
            yield (
                f"its storage {declared.name}, declared as {declared.type}, {has}",
                f"Make it: pvesm add {declared.type} {declared.name} ..., or correct mgmt_hypervisor.storages",
            )


def _time(contract: Contract, found: Found) -> Reasons:
    if contract.hypervisor.time_servers and not found.has_chrony:
        yield "it has no chrony to follow the declared time servers", "Install chrony, or remove mgmt_hypervisor.time"


def _tokens(contract: Contract, found: Found, held: Held, rotate: bool) -> Reasons:
    """A secret is shown once: it must have a place before it is made, and is not made anew behind anybody's back."""
    for account in accounts(contract):
        ref = contract.hypervisor.api.tokens[account.purpose].secret
        is_made = rotate or account.full_token not in found.tokens or account.purpose in found.half_tokens
        if (is_made or account.purpose in found.waiting_tokens) and not is_storable(ref):
            place = f"mgmt_hypervisor.api.tokens.{account.purpose}.secret"
            do = f"Make it {{file: PATH}} or {{command: [...], store: [...]}} in {place}"
            yield f"the new secret of {account.full_token} cannot be written to {where(ref)}", do
        elif not is_made and account.purpose not in found.waiting_tokens and not held(ref):
            do = f"Bring the secret to {where(ref)}, or make new ones: {contract.invoke('bootstrap --rotate-tokens')}"
            yield f"its token {account.full_token} exists, and {where(ref)} does not hold its secret", do
