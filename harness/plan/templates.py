"""Find the one template a guest is declared to come from, and choose how it is cloned."""

from __future__ import annotations

import re
from typing import Literal

from harness.contract import Contract, Guest, Template
from harness.observed import ObservedGuest, ObservedSite, ObservedStorage
from harness.plan.changes import CloneChoice, Refusal
from harness.plan.fitness import is_untested, unfit_for
from harness.plan.marks import Provenance, build_of, notes_of_a_new_clone

LOCAL_TYPES = frozenset({"dir", "btrfs", "lvm", "lvmthin", "zfspool"})
# Storages whose volumes know snapshots; on a directory that depends on the image's format.
LINKED_TYPES = frozenset({"lvmthin", "zfspool", "btrfs"})
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def choose_clone(contract: Contract, guest: Guest, observed: ObservedSite) -> CloneChoice | Refusal:
    template = contract.hypervisor.templates[guest.template]
    vm = find_template(contract, template, observed)
    if isinstance(vm, Refusal):
        return vm
    if why := unfit_for(template, vm.description):
        return Refusal(None, f"template {template.name} ({vm.vmid}) {why}", cure(contract, template, vm))
    return clone_of(contract, guest, vm, observed)


def clone_of(contract: Contract, guest: Guest, vm: ObservedGuest, observed: ObservedSite) -> CloneChoice | Refusal:
    """How this template is cloned, whether it is fit or not."""
    template = contract.hypervisor.templates[guest.template]
    volumes = data_disks(vm)
    storages = {text.partition(":")[0] for text in volumes.values()}
    found = _local_storage(template, vm, storages, observed)
    if isinstance(found, Refusal):
        return found
    mode, reason = _mode(guest, found, volumes)
    if guest.clone == "linked" and mode == "full":
        return Refusal(
            guest.name,
            f"{guest.name} is declared as a linked clone, but {reason}",
            f"Write clone: auto in {guest.declared}",
        )
    target = guest.storage if mode == "full" and guest.storage else found.name
    notes = Provenance(contract.site, guest.name, template.name, build_of(template, vm.description), mode)
    return CloneChoice(
        template=template.name,
        template_vmid=vm.vmid,
        mode=mode,
        target=target,
        moves=target != found.name,
        reason=reason,
        disk_bytes=disk_bytes(vm),
        notes=notes_of_a_new_clone(notes),
    )


def data_disks(vm: ObservedGuest) -> dict[str, str]:
    return {slot: text for slot, text in vm.disks.items() if "media=cdrom" not in text}


def disk_bytes(vm: ObservedGuest) -> int:
    """All its disks together, as large as they may grow."""
    return sum(volume_bytes(text) for text in data_disks(vm).values())


def find_template(contract: Contract, template: Template, observed: ObservedSite) -> ObservedGuest | Refusal:
    """Exactly one VM of that name that is a template, with the declared VMID where one is declared."""
    named = [vm for vm in observed.guests if vm.name == template.name]
    templates = [vm for vm in named if vm.template and template.vmid in (None, vm.vmid)]
    said = f"template {template.name}" + (f" ({template.vmid})" if template.vmid is not None else "")
    if len(templates) == 1:
        return templates[0]
    if len(templates) > 1:
        numbers = ", ".join(str(vm.vmid) for vm in templates)
        return Refusal(
            None,
            f"the {said} is ambiguous: VMs {numbers} have that name",
            f"Rename all but one, or fix its vmid in {template.declared}",
        )
    if any(not vm.template for vm in named):
        return Refusal(
            None,
            f"VM {named[0].vmid} is named {template.name} but is not a template",
            f"Convert it (`qm template {named[0].vmid}`), or correct {template.declared}",
        )
    other = f"; VM {named[0].vmid} has the name, but not the declared VMID" if named else ""
    unseen = "" if observed.sees_all else " that this token may see (it must be in the pool)"
    return Refusal(
        None,
        f"there is no {said}{unseen} on the hypervisor{other}",
        f"{_bring(contract, template)}, or correct {template.declared}",
    )


def _bring(contract: Contract, template: Template) -> str:
    if template.image is not None:
        return f"Import it ({contract.invoke(f'template.import --template {template.key}')})"
    if template.factory is not None:
        return f"Have it built ({contract.invoke(f'template.build --template {template.key}')})"
    return "Bring the template to the hypervisor"


def cure(contract: Contract, template: Template, vm: ObservedGuest) -> str:
    """What to do about a template that may not be used."""
    test = contract.invoke(f"template.test --template {template.key}")
    if is_untested(vm.description):
        return f"Test it: {test}"
    return (
        f"Build a template without that fault under a name of its own, or, where `accepts` may name it, say why in "
        f"{template.declared}; {test} tests this one again"
    )


def volume_bytes(text: str) -> int:
    size = re.search(r"size=(\d+)([KMGT]?)", text)
    return int(size[1]) * _UNITS[size[2]] if size else 0


def _local_storage(
    template: Template, vm: ObservedGuest, storages: set[str], observed: ObservedSite
) -> ObservedStorage | Refusal:
    if storages != {template.storage}:
        return Refusal(
            None,
            f"template {template.name} ({vm.vmid}) has its disks on {', '.join(sorted(storages)) or 'no storage'}, "
            f"declared is {template.storage}",
            f"Move its disks, or correct the storage in {template.declared}",
        )
    found = next((storage for storage in observed.storages if storage.name == template.storage), None)
    if found is None or not found.enabled:
        return Refusal(
            None,
            f"the storage {template.storage} of template {template.name} is "
            + ("disabled" if found else "not there, or this token may not see it (Datastore.Audit)"),
            "Enable the storage, or give the token the privilege",
        )
    if found.shared or found.type not in LOCAL_TYPES:
        return Refusal(
            None,
            f"template {template.name} lies on {found.name}, which is not local storage ({found.type})",
            "Move the template to local storage: the management plane must not depend on the network",
        )
    return found


def _mode(guest: Guest, storage: ObservedStorage, volumes: dict[str, str]) -> tuple[Literal["linked", "full"], str]:
    if guest.clone == "full":
        return "full", "declared so"
    if guest.storage is not None and guest.storage != storage.name:
        return "full", f"a linked clone cannot leave {storage.name} for {guest.storage}"
    if storage.type in LINKED_TYPES:
        return "linked", f"{storage.name} ({storage.type}) makes linked clones"
    if storage.type == "dir" and all(".qcow2" in text for text in volumes.values()):
        return "linked", f"its qcow2 disks on {storage.name} ({storage.type}) can be backing files"
    return "full", f"{storage.name} ({storage.type}) cannot make linked clones of its disks"
