"""Tie every spec to its clause, and keep the specs the user asked for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from harness.contract import Contract, Guest, Service
from harness.errors import Invalid
from harness.verify.clauses import SEVERITIES, SOURCES, Clause, Clauses

# What -m knows: how grave a broken promise is, and where its evidence comes from.
MARKS = {
    **{name: f"of a promise that is {name}" for name in SEVERITIES},
    **{name: f"of a promise whose evidence is read there: {where}" for name, where in SOURCES.items()},
}
# A spec that takes one of these beside `guest` runs once for each such service of each guest.
SERVICES = frozenset({"service", "listening", "reporting"})


@dataclass(frozen=True)
class Spec:
    """A collected item, the clause it proves and the guest it is about."""

    item: pytest.Item
    clause: str
    guest: str | None


def tie_specs(items: Iterable[pytest.Item], clauses: Clauses) -> tuple[Spec, ...]:
    """One Spec per item; an item without a known clause is an Invalid that names all such items."""
    specs, wrong = [], []
    for item in items:
        marks = list(item.iter_markers("clause"))
        ids = [argument for mark in marks for argument in mark.args]
        if len(ids) != 1:
            said = "names no clause" if not ids else f"names {len(ids)} clauses"
            wrong.append(f'{_place(item)} {said}: mark it @pytest.mark.clause("...") once')
        elif ids[0] not in clauses.by_id:
            near = clauses.near(str(ids[0]))
            hint = f" (near: {', '.join(near)})" if near else ""
            wrong.append(f"{_place(item)} names {ids[0]!r}, which is not in {clauses.file}{hint}")
        else:
            specs.append(Spec(item, ids[0], guest_of(item)))
    if wrong:
        raise Invalid(
            tried="collect the specs",
            on=str(clauses.file),
            happened="; ".join(wrong),
            do="Give every spec one known clause",
        )
    return tuple(specs)


def services_of(contract: Contract, kind: str) -> list[tuple[Guest, Service]]:
    """Every declared service, or those that listen on TCP, or those with a health address."""
    pairs = [(guest, service) for guest in contract.guests for service in guest.services]
    if kind == "listening":
        return [pair for pair in pairs if pair[1].ports]
    return [pair for pair in pairs if kind == "service" or pair[1].health_url]


def without_empty(items: Iterable[pytest.Item]) -> Iterator[pytest.Item]:
    """Leave out what pytest makes of a spec about services where none is declared: another spec says that."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        params = callspec.params if callspec is not None else {}
        if all(isinstance(params[kind], Service) for kind in SERVICES & params.keys()):
            yield item


def mark(spec: Spec, clause: Clause) -> None:
    """So that pytest's own -m can choose."""
    for name in (clause.severity, *clause.evidence):
        spec.item.add_marker(name)


def guest_of(item: pytest.Item) -> str | None:
    """The name of the guest an item is parametrised with."""
    callspec = getattr(item, "callspec", None)
    guest = callspec.params.get("guest") if callspec is not None else None
    return guest.name if isinstance(guest, Guest) else None


def is_wanted(spec: Spec, *, chosen: frozenset[str], guest: str | None) -> bool:
    """Whether the user's --clause and --guest let this spec in."""
    return spec.clause in chosen and (guest is None or spec.guest == guest)


def require_guest(contract: Contract, name: str) -> None:
    """Invalid, with the near names, when the site declares no guest `name`."""
    names = [guest.name for guest in contract.guests]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"It declares: {', '.join(names) or 'none'}"
        raise Invalid(
            tried="select a guest", on=f"site {contract.site}", happened=f"it declares no guest {name!r}", do=hint
        )


def require_known_waivers(contract: Contract, clauses: Clauses) -> None:
    """Invalid when a waiver names a clause that does not exist: it would waive nothing, silently."""
    wrong = [
        f"{waiver.declared} waives {waiver.clause!r}"
        for waiver in contract.waivers
        if waiver.clause not in clauses.by_id
    ]
    if wrong:
        raise Invalid(
            tried="apply the waivers",
            on=f"site {contract.site}",
            happened=f"{'; '.join(wrong)}, which is not in {clauses.file}",
            do="Name the clause by its full id",
        )


def _place(item: pytest.Item) -> str:
    file, line, name = item.location
    return f"{file}:{(line or 0) + 1} ({name})"
