"""Judge what the declared time servers say to the hypervisor."""

from __future__ import annotations

from collections.abc import Iterator

from harness.contract import Hypervisor
from harness.preflight.model import Finding, absent, failed, note, ok
from harness.verify.batch import Answer

TOLERATED_S = 2.0
UNSYNCHRONISED = 3  # NTP's leap indicator: the server does not know the time itself


def judge_clocks(hypervisor: Hypervisor, answer: Answer | None) -> Iterator[Finding]:
    """Each declared server answers, and knows the time itself; `answer` is None where none is declared."""
    if answer is None:
        yield absent("The inventory declares no time server")
        return
    said = {line.split()[0]: line.split(None, 3)[1:] for line in answer.output.splitlines() if line.count(" ") >= 3}
    for server in hypervisor.time_servers:
        words = said.get(server, ["-", "-", answer.output.strip() or f"nothing (status {answer.rc})"])
        yield _judge(hypervisor, server, *words)


def _judge(hypervisor: Hypervisor, server: str, leap: str, stratum: str, rest: str) -> Finding:
    name = hypervisor.name
    if leap == "-":
        do = f"Start it, let UDP port 123 through, or mend mgmt_hypervisor.time ({hypervisor.declared})"
        return failed(f"{name} gets no time from {server}: {rest}", do)
    if int(leap) == UNSYNCHRONISED or not 0 < int(stratum) < 16:
        return failed(f"the time server {server} does not know the time itself (stratum {stratum})", "Mend it first")
    if abs(float(rest)) > TOLERATED_S:
        apart = f"{abs(float(rest)):.1f} s {'behind' if float(rest) > 0 else 'ahead of'} {server}"
        return note(f"the clock of {name} is {apart}", "bootstrap has chrony follow it")
    return ok(f"{server} answers, stratum {stratum}, {float(rest):+.1f} s")
