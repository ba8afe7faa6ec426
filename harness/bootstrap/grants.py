"""State who may do what on the hypervisor: two users, each with one token, and no right more than they need."""

from __future__ import annotations

from dataclasses import dataclass

from harness.contract import Contract
from harness.errors import Invalid
from harness.privileges import AUDIT, BRIDGES, STARTUP

COMMENTS = {"verify": "reads only", "provision": "makes the management VMs"}
REALM = "pve"  # users of PVE's own realm have no shell and no password of the machine


@dataclass(frozen=True)
class Account:
    """A user of PVE with its one token."""

    purpose: str
    user: str  # verify@pve
    token: str  # harness

    @property
    def full_token(self) -> str:
        return f"{self.user}!{self.token}"


@dataclass(frozen=True)
class Grant:
    """A role on a path, for a user and its token alike: a token has only what both have."""

    path: str
    role: str
    account: Account
    propagate: bool = True


def accounts(contract: Contract) -> tuple[Account, ...]:
    """The users behind the declared tokens; Invalid when one could not be least-privileged."""
    found = []
    for purpose, token in contract.hypervisor.api.tokens.items():
        user, _, name = token.id.partition("!")
        if user.rpartition("@")[2] != REALM:
            raise _wrong_user(contract, purpose, user)
        found.append(Account(purpose, user, name))
    if len({account.user for account in found}) < len(found):
        raise _wrong_user(contract, "provision", found[-1].user)
    return tuple(found)


def grants(contract: Contract) -> tuple[Grant, ...]:
    """Every grant of the declared accounts; what they hold beside these is taken away."""
    return tuple(grant for account in accounts(contract) for grant in _of(contract, account))


def _of(contract: Contract, account: Account) -> tuple[Grant, ...]:
    if account.purpose == "verify":
        return (Grant("/", AUDIT, account),)
    hypervisor = contract.hypervisor
    return (
        Grant(f"/pool/{required_pool(contract)}", "MgmtProvision", account),
        *(Grant(f"/storage/{storage.name}", "MgmtStore", account) for storage in hypervisor.storages),
        Grant(BRIDGES, "MgmtBridge", account),
        Grant(f"/nodes/{hypervisor.node}", "MgmtNode", account),
        Grant("/", STARTUP, account, propagate=False),
    )


def required_pool(contract: Contract) -> str:
    """The pool that the provisioning token is confined to."""
    pool = contract.hypervisor.pool
    if pool is None:
        raise Invalid(
            tried="bootstrap the hypervisor",
            on=contract.hypervisor.name,
            happened=f"the inventory names no pool for the management VMs ({contract.hypervisor.declared})",
            do="Add `pool: mgmt` to mgmt_hypervisor",
        )
    return pool


def _wrong_user(contract: Contract, purpose: str, user: str) -> Invalid:
    return Invalid(
        tried="bootstrap the hypervisor",
        on=contract.hypervisor.name,
        happened=f"the {purpose} token belongs to {user} ({contract.hypervisor.declared})",
        do=f"Give each token a user of its own in the realm {REALM}, such as {purpose}@{REALM}!harness",
    )
