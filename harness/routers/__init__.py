"""The core router, whatever its kind: what it should hold, what it holds, and how the one becomes the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from harness import errors
from harness.contract import Contract
from harness.evidence import Evidence
from harness.routers import dnsmasq
from harness.routers.compare import APPLY, Comparison, Difference, compare
from harness.routers.dnsmasq_router import DnsmasqRouter
from harness.routers.observed import Answer, Lease, ObservedRouter, Run, Shell
from harness.routers.port import Changes, CoreRouter, Snapshot, is_back

__all__ = [
    "APPLY",
    "RENDERERS",
    "Answer",
    "Changes",
    "Comparison",
    "CoreRouter",
    "Difference",
    "Lease",
    "ObservedRouter",
    "Run",
    "Shell",
    "Snapshot",
    "compare",
    "is_back",
    "is_readable",
    "needs_shell",
    "observe",
    "open_router",
    "render",
]


@contextmanager
def open_router(
    contract: Contract, *, shell: Shell | None = None, evidence: Evidence | None = None
) -> Iterator[CoreRouter]:
    """The site's router, for as long as the block runs; `shell` runs commands on one that has no API of its own."""
    match contract.router.kind:
        case "dnsmasq" if shell is not None:
            yield DnsmasqRouter(contract, shell)
        case "opnsense":
            with _load("opnsense").open_router(contract, evidence) as router:
                yield router
        case "vyos":
            with _load("vyos").open_router(contract, evidence) as router:
                yield router
        case _:
            raise _unknown_kind(contract)


def needs_shell(contract: Contract) -> bool:
    """Whether this kind of router is read and changed through commands; the others have an API."""
    return contract.router.kind not in {"opnsense", "vyos"}


def is_readable(contract: Contract) -> bool:
    """Whether the inventory says how to read the router at all."""
    router = contract.router
    return bool(router.kind) and (router.ssh if needs_shell(contract) else router.api) is not None


# What each kind should be given, as text to review, by what it is.
RENDERERS: Mapping[str, Callable[[Contract], Mapping[str, str]]] = {
    "dnsmasq": dnsmasq.render,
    "opnsense": lambda contract: _rendered("opnsense", contract),
    "vyos": lambda contract: _rendered("vyos", contract),
}


def render(contract: Contract) -> Mapping[str, str]:
    """What the site's router should be given."""
    renderer = RENDERERS.get(contract.router.kind or "")
    if renderer is None:
        raise _unknown_kind(contract)
    return renderer(contract)


def observe(contract: Contract, *, shell: Shell | None = None, evidence: Evidence | None = None) -> ObservedRouter:
    """What the router holds now; whoever only looks needs no more."""
    with open_router(contract, shell=shell, evidence=evidence) as router:
        return router.observe()


def _load(kind: str) -> Any:
    """The routers with an API bring HTTP with them, which costs those who have another kind their first second."""
    return import_module(f"harness.routers.{kind}")


def _rendered(kind: str, contract: Contract) -> Mapping[str, str]:
    rendered: Mapping[str, str] = _load(kind).render(contract)
    return rendered


def _unknown_kind(contract: Contract) -> errors.Refused:
    """A kind that cannot be read is said to be unknown, never right."""
    router = contract.router
    return errors.Refused(
        tried="read the reservations and records",
        on=router.name,
        happened=f"a router of kind {router.kind} cannot be read yet" if router.kind else "its kind is not declared",
        do=f"Set mgmt_router.kind to opnsense, vyos or dnsmasq ({router.declared}), or check this router by hand",
    )
