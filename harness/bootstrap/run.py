"""Bootstrap the hypervisor of a site: contact, look, refuse or play, keep the secrets, prove them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from harness.bootstrap.first_contact import ensure_key_login, pin_all, trust_host_key
from harness.bootstrap.listening import Report
from harness.bootstrap.look import LIMIT_S, Found, look
from harness.bootstrap.playing import Played, collections_path, failure_of, play
from harness.bootstrap.refusing import refusals
from harness.bootstrap.storing import is_held
from harness.bootstrap.tokens import fetch_tokens, pin_certificate, prove_tokens
from harness.bootstrap.variables import derive_variables
from harness.contract import Contract
from harness.errors import HarnessError, Missing
from harness.locking import site_lock
from harness.remote import ssh

Say = Callable[[str], None]

# A script from standard input, of which its commands must not read.
_SHELL = "sh -c 'script=$(cat); exec sh -c \"$script\" </dev/null'"


@dataclass(frozen=True)
class Options:
    check: bool = False
    rotate_tokens: bool = False
    trust_host_key: bool = False


@dataclass(frozen=True)
class Bootstrapped:
    """What a run came to; `notes` are for the user to know, `kept` is what changed on this machine."""

    played: Played | None  # None: refused
    refusals: tuple[HarnessError, ...]
    kept: tuple[str, ...]
    notes: tuple[str, ...]
    failure: HarnessError | None
    seconds: float

    @property
    def changed(self) -> int:
        """How much differed: on the hypervisor, and in what is kept of it here."""
        return len(self.played.drift if self.played else ()) + len(self.kept)

    @property
    def failed(self) -> bool:
        return bool(self.refusals) or self.failure is not None


def bootstrap(contract: Contract, options: Options, *, report: Report, say: Say) -> Bootstrapped:
    """Nothing is changed on the hypervisor before every reason to refuse has been looked for."""
    started = time.monotonic()
    variables = derive_variables(contract, rotate=options.rotate_tokens)  # a wrong inventory is said first
    _require_roles(contract)
    with site_lock(contract.state_dir, contract.site):
        kept: list[str] = []

        def keep(sentence: str) -> None:
            kept.append(sentence)
            say(sentence)

        trust_host_key(contract, trust=options.trust_host_key, say=keep)
        login = ssh.hypervisor_login(contract)
        with ssh.connections([login]) as opened:
            ensure_key_login(contract, opened, say=say if options.check else keep, change=not options.check)
            shell = _SHELL if login.user == "root" else f"sudo -n {_SHELL}"

            def run(script: str) -> ssh.Result:
                return ssh.run(opened, login.name, shell, stdin=script, timeout_s=LIMIT_S)

            say(f"Looking at {login.name} before the first change")
            found = look(contract, run)
            reasons = tuple(
                refusals(
                    contract,
                    found,
                    held=lambda ref: is_held(ref, base=contract.site_folder),
                    rotate=options.rotate_tokens,
                )
            )
            if reasons:
                return Bootstrapped(None, reasons, tuple(kept), (), None, time.monotonic() - started)
            played = play(contract, opened, login, variables, check=options.check, report=report)
            failure = failure_of(contract, played)
            if failure is None and not options.check:
                try:
                    _keep_what_is_due(contract, found, run, keep)
                except HarnessError as error:
                    failure = error
    notes = tuple(_notes(found))
    return Bootstrapped(played, (), tuple(kept), notes, failure, time.monotonic() - started)


def _keep_what_is_due(contract: Contract, found: Found, run: Callable[[str], ssh.Result], keep: Say) -> None:
    if pin_all(contract, found.host_keys):
        keep(f"All host keys of {contract.hypervisor.name} are pinned")
    for sentence in chain(fetch_tokens(contract, run), pin_certificate(contract, run)):
        keep(sentence)
    prove_tokens(contract)


def _notes(found: Found) -> list[str]:
    """What else is held back from upgrades, and who says so."""
    return [
        f"{package} is on hold as well, not by us ({found.pins.get(package, 'no pin says why')});"
        f" to release it: apt-mark unhold {package}"
        for package in found.held
        if package != "pve-manager"
    ]


def _require_roles(contract: Contract) -> None:
    """The roles of the owner's collections that the inventory names are installed."""
    folders = [Path(text).expanduser() for text in collections_path().split(":") if text]
    for name in contract.hypervisor.roles_after:
        space, collection, role = name.split(".")
        places = [folder / "ansible_collections" / space / collection for folder in folders]
        here = [place for place in places if place.is_dir()]
        if not here:
            raise _missing(contract, name, f"the collection {space}.{collection} is not installed here")
        if not (here[0] / "roles" / role).is_dir():
            raise _missing(contract, name, f"{here[0]} has no role {role}")


def _missing(contract: Contract, name: str, happened: str) -> HarnessError:
    return Missing(
        tried=f"prepare the role {name}",
        on=contract.hypervisor.name,
        happened=f"{happened}; nothing was changed",
        do="Install it (ansible-galaxy collection install FILE), or correct mgmt_hypervisor.roles_after",
    )
