"""Put the files of one site together: of a known one what the node adds to it, of a new one all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.contract import Contract
from harness.importing import declared, newcomers, whole
from harness.importing.found import Found
from harness.importing.known import Known
from harness.importing.machine import machine_document, name_of
from harness.importing.writing import CONTRADICTS, FILL_IN, Document, contradiction, render_documents
from harness.observed import ObservedGuest


@dataclass(frozen=True)
class Imported:
    """YAML documents, each headed by its file's path, with the number of marks in them."""

    text: str
    contradictions: int
    gaps: int


def import_site(found: Found, known: Known, url: str) -> Imported:
    documents = [*(_known(found, known, known.contract) if known.contract else _new(found, known))]
    text = render_documents(documents)
    contradictions, gaps = text.count(f"# {CONTRADICTS} "), text.count(f": {FILL_IN}  #")
    head = f"# Read from {url}: node {found.node.name}, Proxmox VE {found.node.pve_version}.\n"
    sums = f"# {contradictions} contradictions to the contract ({CONTRADICTS}), {gaps} gaps ({FILL_IN}).\n"
    return Imported(head + sums + text, contradictions, gaps)


def _new(found: Found, known: Known) -> Iterator[Document]:
    yield from whole.site_documents(found, known)
    yield machine_document(found, known)
    yield from (newcomers.vm_document(vm, found, known) for vm in found.vms)


def _known(found: Found, known: Known, contract: Contract) -> Iterator[Document]:
    by_name = {guest.name: guest for guest in contract.guests}
    excepted = {int(one.vmid) for one in contract.exceptions}
    others = {name for name, _ in known.unknown}
    strangers = [vm for vm in found.vms if _is_stranger(vm, by_name.keys() | others, excepted)]
    yield declared.hypervisor_document(found, known, contract)
    if strangers:
        content = {"management_vms": whole.hosts_of(_only(found, strangers), known)}
        yield Document(known.path("hosts.yml"), {"all": {"children": content}}, ("Add these hosts to the file.",))
    for vm in found.vms:
        if vm.name in by_name:
            yield declared.vm_document(vm, known.vms[vm.name], by_name[vm.name], found, known)
        elif vm in strangers:
            yield newcomers.vm_document(vm, found, known)
    yield from _filled(found, known)


def _is_stranger(vm: ObservedGuest, names: set[str], excepted: set[int]) -> bool:
    return name_of(vm) not in names and vm.vmid not in excepted


def _filled(found: Found, known: Known) -> Iterator[Document]:
    """Hosts whose MAC nobody knew, and which turn out to be VMs here."""
    for host, key in known.unknown:
        vm = next((one for one in found.guests if one.name == host), None)
        nic = next(iter(vm.nics.values()), None) if vm else None
        if vm and nic:
            content = {"infrastructure": {"interfaces": {key: {"mac": nic.mac.lower()}}}}
            strange = contradiction("identity.no-strangers", "it is on the hypervisor and no management VM")
            notes = (f"Change this key alone: VM {vm.vmid} shows the MAC that was UNKNOWN.", strange)
            yield Document(known.path("host_vars", f"{host}.yml"), content, notes)


def _only(found: Found, vms: list[ObservedGuest]) -> Found:
    return Found(**{**found.__dict__, "guests": tuple(vms)})
