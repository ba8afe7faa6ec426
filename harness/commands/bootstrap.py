"""Bootstrap a site's hypervisor with live progress and its figures at the end."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from harness.bootstrap import run as bootstrapping
from harness.bootstrap.listening import HostResult, Step
from harness.bootstrap.run import Bootstrapped, Options
from harness.commands.front import front
from harness.contract import Contract
from harness.printing import console
from harness.site import open_contract

_SAID = {"changed": "changed", "drift": "would change", "failed": "failed"}


@front
def bootstrap(inventory: Path, site: str, options: Options) -> int:
    """0 when the hypervisor is as declared (or --check could look), 2 when it was refused or something failed."""
    return 2 if carry_out(open_contract(inventory, site), options, console()).failed else 0


def carry_out(contract: Contract, options: Options, out: Console) -> Bootstrapped:
    """Bootstrap with live progress and a summary at the end."""
    with StepProgress(out, contract.hypervisor.name, check=options.check) as progress:
        done = bootstrapping.bootstrap(contract, options, report=progress.report, say=progress.say)
    show(done, out, check=options.check)
    return done


class StepProgress:
    """One moving row on a terminal; what changed or failed stays, as plain lines."""

    def __init__(self, out: Console, host: str, *, check: bool) -> None:
        self._out, self._check = out, check
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self._live = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
        self._row = self._live.add_task(f"{host}: making contact", total=None)
        self._role = ""

    def __enter__(self) -> StepProgress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, sentence: str) -> None:
        self._live.update(self._row, description=sentence)
        self._out.print(sentence, markup=False)

    def report(self, step: Step) -> None:
        if step.outcome == "begin":
            self._live.update(self._row, description=f"{step.role or 'roles of the inventory'}: {step.task}")
            if not self._out.is_terminal and step.role not in {"", self._role}:
                self._out.print(f"[{step.seconds:6.1f} s] {step.role}", markup=False)
            self._role = step.role
        elif step.outcome in _SAID:
            self._out.print(_line(step, check=self._check), markup=False)
            if self._check and step.diff:
                self._out.print("\n".join(f"    {line}" for line in step.diff.splitlines()), markup=False)


def _line(step: Step, *, check: bool) -> str:
    outcome = "would change" if check and step.outcome == "changed" else _SAID[step.outcome]
    role = f"{step.role}: " if step.role else ""
    detail = f" - {step.detail}" if step.detail else ""
    return f"[{step.seconds:6.1f} s] {step.host}: {role}{step.task}: {outcome}{detail}"


def show(done: Bootstrapped, out: Console, *, check: bool) -> None:
    for host in done.played.hosts if done.played else ():
        out.print(_figures(host, done, check=check), markup=False)
    for note in done.notes:
        out.print(f"note: {note}", style="yellow", markup=False)
    for error in (*done.refusals, *([done.failure] if done.failure else ())):
        out.print(str(error), style="bold red", markup=False)
    if not done.failed:
        number = done.changed
        verb = "would change" if check else "changed"
        what = "nothing" if number == 0 else f"{number} thing{'' if number == 1 else 's'}"
        out.print(f"{what} {verb}, {done.seconds:.1f} s", markup=False)


def _figures(host: HostResult, done: Bootstrapped, *, check: bool) -> str:
    """As Ansible counts; --check counts what the commands it did not run would have changed."""
    changed = len(done.played.drift) if check and done.played else host.changed
    return f"{host.host}: ok={host.ok} changed={changed} failed={host.failed} skipped={host.skipped}"
