"""Say which privileges each token needs and must not have, and the exact command that mends it: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.contract import Contract
from harness.engine.privileges import ON_THE_GUEST
from harness.preflight.model import Finding, failed
from harness.privileges import BRIDGES, Grants, Need, advise
from harness.pve.read import Permissions

# What is done in the pool: clone, configure, start, ask the guest's agent, back up.
ON_THE_POOL = tuple(sorted({*ON_THE_GUEST, "VM.Allocate", "VM.Backup", "VM.Clone", "VM.Monitor"}))


def needs_of(contract: Contract, purpose: str) -> tuple[Need, ...]:
    """What the token of this purpose must be allowed."""
    if purpose == "verify":
        return tuple(Need(path, one, "MgmtAudit", "/") for path, one in _places_to_audit(contract))
    return tuple(_provision_needs(contract))


def _places_to_audit(contract: Contract) -> Iterator[tuple[str, str]]:
    """Each list of PVE is filtered by another path."""
    node = contract.hypervisor.node
    yield "/", "Sys.Audit"
    yield f"/nodes/{node}", "Sys.Audit"
    yield "/vms", "VM.Audit"
    yield "/storage", "Datastore.Audit"
    yield "/pool", "Pool.Audit"
    yield BRIDGES, "SDN.Audit"


def _provision_needs(contract: Contract) -> Iterator[Need]:
    hypervisor = contract.hypervisor
    place = f"/pool/{hypervisor.pool}" if hypervisor.pool else "/vms"
    yield from (Need(place, privilege, "MgmtProvision", place) for privilege in ON_THE_POOL)
    templates = hypervisor.templates
    targets = {guest.storage or templates[guest.template].storage for guest in contract.guests}
    targets |= {template.storage for template in templates.values() if template.image is not None}
    for storage in sorted(targets):
        path = f"/storage/{storage}"
        yield from (Need(path, one, "MgmtStore", path) for one in ("Datastore.AllocateSpace", "Datastore.Audit"))
    for template in templates.values():
        if template.image is not None:
            path = f"/storage/{template.image.storage}"
            yield Need(path, "Datastore.AllocateTemplate", "MgmtStore", path)
            if template.image.url is not None:
                at = f"/nodes/{hypervisor.node}"
                yield Need(at, "Sys.AccessNetwork", "MgmtNode", at)
    for bridge in sorted({guest.nic.bridge for guest in contract.guests}):
        yield Need(f"{BRIDGES}/{bridge}", "SDN.Use", "MgmtBridge", BRIDGES)
    yield Need(f"/nodes/{hypervisor.node}", "Sys.Audit", "MgmtNode", f"/nodes/{hypervisor.node}")
    # PVE asks this of whoever sets the start order, on / itself; below it the token must not have it.
    yield Need("/", "Sys.Modify", "MgmtStartup", "/", propagate=False)


def judge_needs(
    token: str, needs: Iterable[Need], permissions: Permissions, grants: Grants | None
) -> Iterator[Finding]:
    """One finding for each privilege that is missing, with the command for root on the node."""
    missing = [need for need in needs if not permissions.has(need.path, need.privilege)]
    for at in dict.fromkeys((need.at, need.role) for need in missing):
        these = [need for need in missing if (need.at, need.role) == at]
        said = f"{token} lacks {', '.join(need.privilege for need in these)} on {these[0].path}"
        yield failed(said, advise(token, these, grants))


def judge_excess(contract: Contract, purpose: str, token: str, permissions: Permissions) -> Iterator[Finding]:
    """A token that may do more than its part is a danger even while nobody uses it."""
    where = f"`pveum user token permissions {token.replace('!', ' ')}` on the node shows where it comes from"
    do = f"Run {contract.invoke('bootstrap')}, which takes it away; {where}"
    if purpose == "verify":
        writing = {one for held in permissions.granted.values() for one in held if not one.endswith(".Audit")}
        if writing:
            yield failed(f"{token} must only read, and may also use {', '.join(sorted(writing))}", do)
    elif contract.hypervisor.pool:
        outside = [one for one in ON_THE_POOL if one != "VM.Audit" and permissions.has("/vms", one)]
        if outside:
            pool = f"the VMs of the pool {contract.hypervisor.pool}"
            yield failed(f"{token} is for {pool}, and has {', '.join(outside)} on every VM (/vms)", do)
