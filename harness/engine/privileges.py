"""Find out before the first change whether the token may make every change of the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness import privileges
from harness.contract import Contract, Guest
from harness.errors import Refused
from harness.plan import Plan
from harness.privileges import typed
from harness.pve.client import Client
from harness.pve.grants import read_grants
from harness.pve.read import Permissions, read_permissions

Need = tuple[tuple[str, ...], str]  # any of these paths, one privilege

# What the keys of a guest's configuration ask for, and starting it.
ON_THE_GUEST = (
    "VM.Audit",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.PowerMgmt",
)


def check_privileges(contract: Contract, plan: Plan, client: Client, reader: Client) -> None:
    """Everything that the changes of a plan ask for."""
    require(contract, _needs(contract, plan), client, reader, to="provision")


# What taking a guest's VM down asks for, and reading its backups.
TAKING_DOWN = ("VM.Allocate", "VM.Audit", "VM.Backup", "VM.Config.Options", "VM.PowerMgmt")


def on_guest(contract: Contract, guest: Guest, *privileges: str) -> list[Need]:
    """What a pool grants holds for its members, and a new VM becomes one."""
    pool = contract.hypervisor.pool
    places = (f"/pool/{pool}", f"/vms/{guest.vmid}") if pool else (f"/vms/{guest.vmid}",)
    return [(places, privilege) for privilege in privileges]


def require(contract: Contract, needs: Iterable[Need], client: Client, reader: Client, *, to: str) -> None:
    """One sentence that names everything that is missing, and the commands that give it.

    `reader` sees more of the access list than the token that is checked.
    """
    permissions = read_permissions(client)
    missing = sorted({need for need in needs if not _granted(permissions, need)})
    if missing:
        raise Refused(
            tried=f"{to} as {client.who}",
            on=client.url,
            happened=f"the token lacks {'; '.join(dict.fromkeys(map(_said, missing)))}; nothing was changed",
            do=f"{typed(_commands(contract, missing, permissions, reader))} "
            f"({contract.invoke('bootstrap')} does it, too), then run this again",
        )


def _granted(permissions: Permissions, need: Need) -> bool:
    paths, privilege = need
    return any(permissions.has(path, privilege) for path in paths)


def _said(need: Need) -> str:
    paths, privilege = need
    return f"{privilege} on {paths[0]}"


def _commands(contract: Contract, missing: Iterable[Need], permissions: Permissions, reader: Client) -> list[str]:
    """Roles and grants; where the pool has the privilege already, the VM is not in the pool."""
    pool = contract.hypervisor.pool
    needs: list[privileges.Need] = []
    strays: list[str] = []
    for paths, privilege in missing:
        kind, _, vmid = paths[0].removeprefix("/").partition("/")
        if kind == "vms" and pool and permissions.has(f"/pool/{pool}", privilege):
            strays.append(vmid)
            continue
        at = f"/pool/{pool}" if kind == "vms" and pool else paths[0]
        need = privileges.documented_need("provision", at, privilege)
        assert need is not None, privilege  # noqa: S101 - all that _needs asks for is documented
        needs.append(need)
    joined = [f"pveum pool modify {pool} --vms {','.join(sorted(set(strays)))}"] if strays else []
    return privileges.commands(permissions.who, needs, read_grants(reader)) + joined


def _needs(contract: Contract, plan: Plan) -> Iterator[Need]:
    for change in plan.changes:
        guest = contract.guest(change.guest)
        yield from on_guest(contract, guest, *ON_THE_GUEST)
        yield (f"/sdn/zones/localnetwork/{guest.nic.bridge}",), "SDN.Use"
        yield ("/",), "Sys.Modify"  # PVE asks this of whoever sets the start order
        if change.clone is not None:
            yield (f"/vms/{change.clone.template_vmid}",), "VM.Clone"
            yield from on_guest(contract, guest, "VM.Allocate")
            yield (f"/storage/{change.clone.target}",), "Datastore.AllocateSpace"
