"""Plan or provision the guests of a play through the engine, in one run for all of them."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from harness import provisioning
from harness.ansible.answering import answer_of_failure, answers_of_plan, answers_of_run
from harness.ansible.choosing import choose_site
from harness.ansible.joining import Answer, Party, join
from harness.commands.progress import render_line
from harness.contract import Contract
from harness.engine.events import Event
from harness.engine.provision import refuse
from harness.errors import HarnessError
from harness.site import open_contract


@dataclass(frozen=True)
class Request:
    """What one process of Ansible wants, and in whose company."""

    guest: str
    site_folder: str | None
    sources: tuple[str, ...]  # Ansible's inventories
    check: bool
    batch: int  # hosts of the play that may come
    at_once: int  # processes that Ansible has side by side
    folder: Path  # private to this task of this run of Ansible
    tell: Callable[[str], None]  # of a step, as it happens


def answer(request: Request) -> Answer:
    """What became of the guest, or would with --check; a failure is an answer too."""
    try:
        site = choose_site(request.site_folder, request.sources)
    except HarnessError as error:
        return answer_of_failure(error)

    def work(names: Set[str]) -> dict[str, Answer]:
        try:
            return _build(site, names, request)
        except Exception as error:  # whatever it is, each of them must hear of it instead of trying the same again
            return dict.fromkeys(names, answer_of_failure(error))

    mode = "check" if request.check else "run"
    folder = request.folder / f"{mode}-{sha256(str(site).encode()).hexdigest()[:16]}"
    return join(folder, request.guest, Party(request.batch, request.at_once), work)


def _build(site: Path, names: Set[str], request: Request) -> dict[str, Answer]:
    contract = open_contract(site.parent, site.name)
    only = _only(contract, names)
    if request.check:
        found = provisioning.make_plan(contract, only)
        refuse(found, contract)
        answers = answers_of_plan(contract, found, provisioning.due_backups(contract, only))
    else:
        done = provisioning.carry_out(contract, _reporter(request.tell), only)
        for retry in done.retries:
            request.tell(f"asked again: {retry}")
        answers = answers_of_run(contract, done)
    return {name: answers[name] for name in names}


def _only(contract: Contract, names: Set[str]) -> Set[str] | None:
    """None for all of them, which is what a run without a choice is for the engine."""
    return None if names == {guest.name for guest in contract.guests} else names


def _reporter(tell: Callable[[str], None]) -> Callable[[Event], None]:
    def report(event: Event) -> None:
        if event.state in {"done", "failed", "note"}:
            tell(render_line(event))

    return report
