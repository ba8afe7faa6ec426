"""What making and testing a template works with: whom it asks, what it sees clones by, whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.contract import Contract
from harness.engine.looks import GuestLooks
from harness.journal import Journal
from harness.pve import agent
from harness.pve.agent import AgentNic
from harness.pve.client import Client, Writer

SCRIPT_LIMIT_S = 30.0


@dataclass(frozen=True)
class AgentLooks:
    """A clone seen through its guest agent, by VMID; each raises HarnessError when that does not work."""

    nics: Callable[[int], tuple[AgentNic, ...]]
    run: Callable[[int, str], str]  # a script as root; its output


@dataclass(frozen=True)
class Bench:
    """`reader` sees every VM; `writer` may change those of the pool."""

    contract: Contract
    writer: Writer
    reader: Client
    looks: GuestLooks
    agent: AgentLooks
    journal: Journal
    say: Callable[[str], None]

    @property
    def node(self) -> str:
        return self.contract.hypervisor.node


def real_agent(contract: Contract, writer: Writer) -> AgentLooks:
    node = contract.hypervisor.node
    return AgentLooks(
        nics=lambda vmid: agent.read_nics(writer, node, vmid),
        run=lambda vmid, script: agent.run_script(writer, node, vmid, script, deadline_s=SCRIPT_LIMIT_S).out,
    )
