"""Open what a drill works with at its first use, and close all of it at its end."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import TracebackType

from harness import routers
from harness.contract import Contract
from harness.core_router import lease_of, open_router
from harness.engine.asking import open_service_looks
from harness.engine.looks import GuestLooks, real_looks
from harness.engine.proving import ServiceLooks
from harness.errors import Refused
from harness.journal import Journal, journal_of
from harness.pve.client import Client, Writer
from harness.remote import ssh
from harness.remote.hosts import as_root
from harness.routers import CoreRouter
from harness.site import open_reader, open_writer

HOST_TIMEOUT_S = 30.0


@dataclass
class Tools:
    """The ways into one site."""

    contract: Contract
    agent_grace_s: float = 15.0  # how long a silent guest agent is waited for before SSH is tried instead
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Tools:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def fresh_reader(self) -> Client:
        """A reader that remembers no answer: what a drill asks twice has changed meanwhile."""
        return open_reader(self.contract)

    @cached_property
    def writer(self) -> Writer:
        return open_writer(self.contract)

    @cached_property
    def router(self) -> CoreRouter | None:
        return self._stack.enter_context(open_router(self.contract)) if routers.is_readable(self.contract) else None

    @cached_property
    def services(self) -> ServiceLooks:
        """What the core router answers, asked from here and on the hypervisor's bridge."""
        return self._stack.enter_context(open_service_looks(self.contract))

    @cached_property
    def guest_looks(self) -> GuestLooks:
        router = self.router
        return real_looks(self.contract, partial(lease_of, router) if router else None)

    @cached_property
    def journal(self) -> Journal:
        return journal_of(self.contract)

    def ask_hypervisor(
        self, command: str, *, stdin: str | None = None, timeout_s: float = HOST_TIMEOUT_S
    ) -> ssh.Result:
        """A command as root on the hypervisor; its own failure is a Result."""
        login = self._login
        command = command if login.user == "root" else as_root(command)
        return ssh.run(self._connections, login.name, command, stdin=stdin, timeout_s=timeout_s)

    def tell_hypervisor(
        self, command: str, *, tried: str, stdin: str | None = None, timeout_s: float = HOST_TIMEOUT_S
    ) -> str:
        """As `ask_hypervisor`, where only success will do; its output."""
        ended = self.ask_hypervisor(command, stdin=stdin, timeout_s=timeout_s)
        if not ended.succeeded:
            said = " ".join((ended.stderr or ended.stdout).split()[-30:])
            raise Refused(
                tried=tried,
                on=self._login.name,
                happened=said or f"the command ended with {ended.rc}",
                do="Correct what it says there, then run the same command again",
            )
        return ended.stdout

    def hang_up(self) -> None:
        """The hypervisor went down or will: the next command logs in anew."""
        ssh.hang_up(self._connections, self._login.name)

    @cached_property
    def _login(self) -> ssh.Login:
        return ssh.hypervisor_login(self.contract)

    @cached_property
    def _connections(self) -> ssh.Connections:
        return self._stack.enter_context(ssh.connections([self._login]))
