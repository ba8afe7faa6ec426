"""Look at a site before anything is changed on it: each look is taken once, and the slow ones all together."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from harness import probe
from harness.bootstrap.first_contact import enter_by_password
from harness.bootstrap.look import LIMIT_S, Found, look
from harness.contract import Contract, SecretRef
from harness.errors import HarnessError, Missing, Refused
from harness.preflight import host_commands
from harness.privileges import Grants
from harness.pve import read
from harness.pve.client import Client
from harness.pve.grants import read_grants
from harness.pve.read import Permissions
from harness.remote import known_hosts, ssh
from harness.remote.known_hosts import HostKey
from harness.remote.ssh import Result
from harness.secrets import read_secret
from harness.site import open_reader
from harness.verify.batch import Answer, Answers
from harness.verify.certificate import read_pin
from harness.verify.host_facts import HostFacts
from harness.verify.looks import Looks
from harness.verify.site_view import SiteView

T = TypeVar("T")


@dataclass
class View:
    """What checks ask; everything behind it is a read."""

    contract: Contract
    site: SiteView
    connect: Callable[[str], Client]  # a client that cannot write, by the purpose of its token
    is_first_contact: bool = False  # no host key is pinned; the one with the declared fingerprint is trusted meanwhile
    needs_password: bool = False  # our key is not let in yet

    @property
    def looks(self) -> Looks:
        return self.site.looks

    # --- the hypervisor over SSH -------------------------------------------------------------------------------------

    def pinned_keys(self) -> frozenset[HostKey]:
        login = ssh.hypervisor_login(self.contract)
        return known_hosts.look_up(login.known_hosts, login.name, port=login.port)

    def offered_keys(self) -> frozenset[HostKey]:
        login = ssh.hypervisor_login(self.contract)
        keys = self.looks.take("host keys", lambda _: probe.ssh_host_keys(login.address, login.port))
        return frozenset(known_hosts.parse_key(key) for key in keys)

    def login(self) -> Answers:
        """The first contact of a run; whoever needs the host asks it first, and fails with the same words."""
        return self.looks.fetch("our login", lambda _: self._log_in())

    def _log_in(self) -> Answers:
        try:
            return self.site.ask_host("login", host_commands.LOGIN)
        except Refused:
            if self.contract.hypervisor.ssh.password is None:
                raise
        # As the installer leaves it: only the password lets us in. Nothing is written there.
        enter_by_password(self.contract, self.site.opened())
        self.needs_password = True
        return self.site.ask_host("login by password", host_commands.LOGIN)

    def host(self) -> HostFacts:
        """The facts that `verify` judges, too."""
        self.login()  # whatever keeps us out is one reason, whoever asks
        return self.site.host()

    def packages(self) -> Answers:
        self.login()
        return self.site.ask_host("packages", host_commands.COMMANDS)

    def repositories(self) -> Answer:
        """`apt-get update` as the host would do it, in a state that is thrown away."""
        self.login()
        commands = {"update": host_commands.UPDATE}
        return self.site.ask_host("repositories", commands, host_commands.APT_LIMIT_S).answer("update")

    def bootstrap(self) -> Found:
        """What `bootstrap` looks at before its first change."""
        self.login()
        user = self.contract.hypervisor.ssh.user

        def run(script: str) -> Result:
            command = script if user == "root" else f"sudo -n sh -c {shlex.quote(script)}"
            answer = self.site.ask_host("bootstrap", {"look": command}, LIMIT_S).answer("look")
            return Result(answer.rc, answer.output, "")

        return look(self.contract, run)

    def knock(self, host: str, port: int) -> Answer:
        """The first line of a web server, as the hypervisor sees it."""
        self.login()
        return self.site.ask_host(f"web {host}", {"knock": host_commands.render_knock(host, port)}).answer("knock")

    def clocks(self) -> Answer | None:
        """What the declared time servers say to the hypervisor; None where none is declared."""
        servers = self.contract.hypervisor.time_servers
        if not servers:
            return None
        self.login()
        return self.site.ask_host("clocks", {"ask": host_commands.render_clocks(servers)}).answer("ask")

    # --- the router and the wire -------------------------------------------------------------------------------------

    def dns_software(self) -> str | None:
        router = self.contract.router
        return self.looks.take("dns software", lambda _: probe.dns_software(str(router.dns), router.dns_port))

    # --- the API -----------------------------------------------------------------------------------------------------

    def pin(self) -> str:
        """How the web interface identifies itself; every look at the API needs it."""
        api, folder = self.contract.hypervisor.api, self.contract.site_folder
        return self.looks.take(
            "pin", lambda _: self._kept("read the pinned certificate", lambda: read_pin(api, folder))
        )

    def permissions(self, purpose: str) -> Permissions:
        self.token(purpose)
        if purpose == "verify":
            self.site.version()  # what keeps this token out keeps it out of every look at the API
        return self.looks.take(f"permissions {purpose}", lambda _: read.read_permissions(self.connect(purpose)))

    def token(self, purpose: str) -> None:
        """The token's secret is kept here, as bootstrap leaves it; what else is wrong with it PVE says."""
        self.pin()
        token = self.contract.hypervisor.api.tokens[purpose]
        read = partial(read_secret, token.secret, base=self.contract.site_folder)
        self.looks.take(f"secret {purpose}", lambda _: self._kept(f"read the secret of {token.id}", read))

    def grants(self) -> Grants:
        """Who was given which role where, as far as the verify token may see it."""
        return self.looks.take("grants", lambda _: read_grants(self.connect("verify")))

    # --- all at once -------------------------------------------------------------------------------------------------

    def prefetch(self, checks: Set[str]) -> None:
        """Take the slow looks of these checks together; one that fails waits for the check that asks."""
        self.looks.together([partial(self._quiet, self.login), partial(self._quiet, self.offered_keys)])
        slow: dict[str, Callable[[], object]] = {
            "host.release": self.host,
            "host.packages": self.packages,
            "host.repositories": self.repositories,
            "time": self.clocks,
            "bootstrap.refusals": self.bootstrap,
            "api.certificate": self.site.web_certificate,
            "authority": self.dns_software,
            "dhcp.reservations": self.site.router,
            "token.verify": lambda: self.permissions("verify"),
            "token.provision": lambda: self.permissions("provision"),
            "provision.plan": self.site.site,
        }
        wanted = [one for check, one in slow.items() if check in checks]
        self.looks.together([partial(self._quiet, one) for one in wanted])

    def _quiet(self, ask: Callable[[], object]) -> None:
        try:
            ask()
        except HarnessError:
            return  # kept by Looks, and raised again for the check that asks

    def close(self) -> None:
        self.site.close()

    def _kept(self, tried: str, read_it: Callable[[], T]) -> T:
        """What bootstrap keeps here; where it is missing, bootstrap has not been at work yet, or not from here."""
        try:
            return read_it()
        except Missing as missing:
            raise Missing(
                tried=tried,
                on=missing.on,
                happened=missing.happened,
                do=f"Run {self.contract.invoke('bootstrap')}, which makes it and keeps it there; or bring it there",
            ) from missing


@contextmanager
def open_view(contract: Contract) -> Iterator[View]:
    """A view with the credentials the inventory refers to; of the network, at most a host key is asked yet."""
    with tempfile.TemporaryDirectory(prefix="mgmt-preflight-") as folder:
        keys = _declared_keys(contract)
        trusted = Path(folder) / "known_hosts"
        if keys:
            known_hosts.pin(trusted, contract.hypervisor.name, None, keys)
            contract = replace(contract, known_hosts=(*contract.known_hosts, trusted))
        site = SiteView(contract, Looks(), lambda evidence: open_reader(contract, evidence))
        view = View(contract, site, _clients(contract, site), is_first_contact=bool(keys))
        try:
            yield view
        finally:
            view.close()


def _declared_keys(contract: Contract) -> list[HostKey]:
    """Before the first contact: the keys the host shows that have the declared fingerprint. Nothing is kept."""
    login, declared = ssh.hypervisor_login(contract), contract.hypervisor.ssh.host_key_fingerprint
    if declared is None or known_hosts.look_up(login.known_hosts, login.name, port=login.port):
        return []
    try:
        if isinstance(declared, SecretRef):
            declared = read_secret(declared, base=contract.site_folder).reveal().strip()
        offered = [known_hosts.parse_key(key) for key in probe.ssh_host_keys(login.address, login.port)]
    except HarnessError:
        return []  # the check of the host key meets the same, and says it
    return [key for key in offered if key.fingerprint == declared]


def _clients(contract: Contract, site: SiteView) -> Callable[[str], Client]:
    def connect(purpose: str) -> Client:
        return site.client() if purpose == "verify" else open_reader(contract, purpose="provision")

    return connect
