"""Derive what the roles need to know from the contract, so that no role decides anything."""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import Any

from harness.bootstrap.grants import COMMENTS, accounts, grants, required_pool
from harness.contract import Bridge, Contract, Packages
from harness.errors import Invalid
from harness.privileges import ROLES

# Where the host keeps what a run has not finished yet; root's alone.
HOST_FOLDER = "/var/lib/mgmt-harness"
TOKEN_FOLDER = f"{HOST_FOLDER}/tokens"
KEYRING = "/etc/apt/keyrings/mgmt-harness"


def derive_variables(contract: Contract, *, rotate: bool = False) -> dict[str, Any]:
    """Ansible's extra variables; there is no secret among them."""
    hypervisor = contract.hypervisor
    packages = required_packages(contract)
    return {
        "bootstrap_host": hypervisor.name,
        "bootstrap_folder": HOST_FOLDER,
        "bootstrap_token_folder": TOKEN_FOLDER,
        "bootstrap_repositories": render_sources(packages),
        "bootstrap_key": None
        if packages.key is None
        else {"source": str(packages.key), "target": key_target(packages)},
        "bootstrap_pve_version": hypervisor.pve_version,
        "bootstrap_time_servers": list(hypervisor.time_servers),
        "bootstrap_nested": hypervisor.nested,
        "bootstrap_bridges": [_bridge(contract, bridge) for bridge in hypervisor.bridges],
        "bootstrap_storages": {storage.name: sorted(storage.content) for storage in hypervisor.storages},
        "bootstrap_pool": required_pool(contract),
        "bootstrap_templates": [{"name": one.name, "vmid": one.vmid} for one in hypervisor.templates.values()],
        "bootstrap_roles": ROLES,
        "bootstrap_accounts": derive_accounts(contract),
        "bootstrap_grants": derive_grants(contract),
        "bootstrap_rotate": rotate,
        "bootstrap_backup": derive_backup(contract),
        "bootstrap_roles_after": list(hypervisor.roles_after),
    }


def derive_accounts(contract: Contract) -> list[dict[str, str]]:
    """The users to make, each with its one token."""
    return [
        {
            "purpose": account.purpose,
            "user": account.user,
            "token": account.token,
            "comment": COMMENTS.get(account.purpose, ""),
        }
        for account in accounts(contract)
    ]


def derive_grants(contract: Contract) -> list[dict[str, Any]]:
    """Who is to have which role where."""
    return [
        {
            "path": grant.path,
            "role": grant.role,
            "user": grant.account.user,
            "token": grant.account.token,
            "propagate": grant.propagate,
        }
        for grant in grants(contract)
    ]


def derive_backup(contract: Contract) -> dict[str, Any] | None:
    """The backup job in PVE's own words; None where none is declared."""
    job = contract.hypervisor.backup
    if job is None:
        return None
    return {
        "id": job.id,
        "options": {
            "storage": job.storage,
            "pool": required_pool(contract),
            "schedule": job.schedule,
            "mode": "snapshot",
            "compress": "zstd",
            "prune-backups": ",".join(f"keep-{span}={count}" for span, count in job.keep.items()),
            "enabled": 1,
        },
    }


def required_packages(contract: Contract) -> Packages:
    """Where the packages come from; bootstrap names no repository of its own."""
    packages = contract.hypervisor.packages
    if packages is None:
        raise Invalid(
            tried="bootstrap the hypervisor",
            on=contract.hypervisor.name,
            happened=f"the inventory does not say where its packages come from ({contract.hypervisor.declared})",
            do="Add packages.repositories to mgmt_hypervisor, as lines of sources.list",
        )
    if packages.key is not None and not packages.key.is_file():
        raise Invalid(
            tried="bootstrap the hypervisor",
            on=contract.hypervisor.name,
            happened=f"the key of its package repositories is not at {packages.key}",
            do="Put the public key there, or correct mgmt_hypervisor.packages.key",
        )
    return packages


def key_target(packages: Packages) -> str:
    """Where the key lies on the host; apt tells armored keys from others by the suffix."""
    armored = packages.key is not None and packages.key.read_bytes().startswith(b"-----BEGIN")
    return f"{KEYRING}.{'asc' if armored else 'gpg'}"


def render_sources(packages: Packages, key: str | None = None) -> str:
    """The declared lines; a line without options of its own is signed by the declared key."""
    signed_by = key or (key_target(packages) if packages.key else None)
    lines = [
        f"deb [signed-by={signed_by}] {line.removeprefix('deb ')}" if signed_by and "[" not in line else line
        for line in packages.repositories
    ]
    return "".join(f"{line}\n" for line in lines)


def _bridge(contract: Contract, bridge: Bridge) -> dict[str, Any]:
    """The bridge of the hypervisor's own segment carries its address."""
    own = contract.hypervisor.address
    home = [contract.segments[name] for name in bridge.segments if own in contract.segments[name].subnet]
    if not home:
        return {"name": bridge.name, "port": bridge.port, "address": None, "gateway": None}
    address = IPv4Interface(f"{own}/{home[0].subnet.prefixlen}")
    return {"name": bridge.name, "port": bridge.port, "address": str(address), "gateway": str(home[0].gateway)}
