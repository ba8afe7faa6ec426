"""The questions of a preflight, in the order a person would ask them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address

from harness import routers
from harness.bootstrap.refusing import refusals
from harness.bootstrap.storing import is_held
from harness.contract import Contract, Hypervisor
from harness.errors import HarnessError
from harness.observed import ObservedSite
from harness.preflight import host, network, stock
from harness.preflight.clocks import judge_clocks
from harness.preflight.model import Check, Finding, absent, failed, note, ok, unknown
from harness.preflight.privileges import judge_excess, judge_needs, needs_of
from harness.preflight.view import View
from harness.privileges import Grants
from harness.remote import ssh
from harness.routers import ObservedRouter
from harness.verify.host_facts import HostFacts

Look = Callable[[View], Iterable[Finding]]


def _host_key(view: View) -> Iterator[Finding]:
    if view.is_first_contact:
        yield note("no host key is pinned yet, and the host shows the declared one: bootstrap pins it")
        return
    files = ssh.hypervisor_login(view.contract).known_hosts
    yield from network.judge_host_key(view.contract.hypervisor, files, view.pinned_keys(), view.offered_keys())


def _login(view: View) -> Iterator[Finding]:
    login, name = view.contract.hypervisor.ssh, view.contract.hypervisor.name
    answers = view.login()
    if view.needs_password:
        yield note(f"{name} does not take our key yet: bootstrap puts it there with the declared password")
    if answers.text("uid").strip() == "0":
        yield ok(f"{login.user} is root on {name}")
    elif answers.answer("sudo").rc == 0:
        yield ok(f"{login.user} becomes root on {name} by sudo")
    else:
        do = f"Let it use sudo without a password, or log in as root (mgmt_hypervisor.ssh.user, {_declared(view)})"
        yield failed(f"{login.user} is not root on {name}, and sudo does not let it: {_said(view)}", do)


def _said(view: View) -> str:
    return view.login().answer("sudo").output.strip() or "no reason given"


def _declared(view: View) -> str:
    return str(view.contract.hypervisor.declared)


def _on_host(judge: Callable[[Hypervisor, HostFacts], Iterator[Finding]]) -> Look:
    return lambda view: judge(view.contract.hypervisor, view.host())


def _on_hardware(judge: Callable[[Hypervisor, HostFacts], Iterator[Finding]]) -> Look:
    """While a site has not chosen its machine, nothing can be said of it, and nothing can be begun there."""

    def look(view: View) -> Iterable[Finding]:
        pending = view.contract.hypervisor.hardware.pending
        if pending is not None:
            return [unknown(f"the hardware is not chosen yet: {pending}", f"Declare it ({_declared(view)})")]
        return judge(view.contract.hypervisor, view.host())

    return look


def _host_name(view: View) -> Iterator[Finding]:
    return host.judge_own_name(view.contract.hypervisor, view.packages().answer("own-name"))


def _packages(view: View) -> Iterator[Finding]:
    return host.judge_packages(view.contract.hypervisor.name, view.packages())


def _space(view: View) -> Iterator[Finding]:
    return host.judge_space(view.contract.hypervisor.name, view.packages())


def _repositories(view: View) -> Iterator[Finding]:
    return host.judge_repositories(view.contract, view.repositories())


def _clocks(view: View) -> Iterator[Finding]:
    return judge_clocks(view.contract.hypervisor, view.clocks())


def _alone(view: View) -> Iterator[Finding]:
    name = view.packages().answer("cluster-name").output.split("\n")[0].strip()
    return host.judge_alone(view.contract.hypervisor, view.host(), name)


def _bootstrap(view: View) -> Iterator[Finding]:
    """What `bootstrap` would refuse, with its own words."""
    contract = view.contract
    if contract.hypervisor.packages is None:
        do = f"Declare mgmt_hypervisor.packages ({contract.hypervisor.declared}) if bootstrap is to be run here"
        yield note("the inventory declares no package repositories, which bootstrap needs", do)
        return
    found = view.bootstrap()
    wrong = list(refusals(contract, found, held=lambda ref: is_held(ref, base=contract.site_folder), rotate=False))
    for error in wrong:
        yield failed(error.happened.removesuffix("; nothing was changed"), error.do)
    if not wrong:
        yield ok(f"bootstrap would refuse nothing; the repositories offer {', '.join(found.offered)}")


def _artifacts(view: View) -> Iterator[Finding]:
    servers = host.artifact_servers(view.contract)
    for name, port in servers:
        yield from host.judge_artifacts(name, view.knock(name, port))
    if not servers:
        yield absent("The inventory names no artifact server")


def _own_names(view: View) -> Iterator[Finding]:
    hypervisor = view.contract.hypervisor
    back = {hypervisor.address: hypervisor.fqdn}
    return _names(view, [hypervisor.fqdn], back)


def _guest_names(view: View) -> Iterator[Finding]:
    guests = view.contract.guests
    return _names(view, [guest.fqdn for guest in guests], {guest.nic.address.ip: guest.fqdn for guest in guests})


def _names(view: View, names: list[str], back: dict[IPv4Address, str]) -> Iterator[Finding]:
    view.dns_software()  # a server that answers nothing is one reason, whoever asks
    router = view.contract.router
    server = f"{router.name} ({router.dns})"
    records = network.records_of(view.contract, names)
    return network.judge_names(records, back, view.site.addresses_of, view.site.names_of, server)


def _authority(view: View) -> Iterator[Finding]:
    return network.judge_authority(view.contract, view.dns_software(), _readable_router(view))


def _readable_router(view: View) -> ObservedRouter | None:
    """None where this kind cannot be read; a router that does not let us in is another matter."""
    return view.site.router() if routers.is_readable(view.contract) else None


def _reservations(view: View) -> Iterator[Finding]:
    return network.judge_reservations(view.contract, view.site.router(), time.time())


def _certificate(view: View) -> Iterator[Finding]:
    pin = view.pin()
    shown = view.site.web_certificate()
    url = view.contract.hypervisor.api.url
    if shown == pin:
        yield ok(f"{url} shows the pinned certificate")
    else:
        do = "Compare it on the node: `openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem`"
        yield failed(f"{url} shows {shown}, pinned is {pin}", do)


def _token(purpose: str) -> Look:
    def look(view: View) -> Iterator[Finding]:
        contract, permissions = view.contract, view.permissions(purpose)
        token = contract.hypervisor.api.tokens[purpose].id
        wrong = [*judge_needs(token, needs_of(contract, purpose), permissions, _grants(view))]
        wrong += judge_excess(contract, purpose, token, permissions)
        yield from wrong or [ok(f"{token} is valid and has what it needs, no more")]

    return look


def _grants(view: View) -> Grants | None:
    """Only the advice depends on it: without it the documented roles are named."""
    try:
        return view.grants()
    except HarnessError:
        return None


def _node(view: View) -> Iterator[Finding]:
    view.token("verify")
    node, declared = view.site.node(), view.contract.hypervisor
    yield ok(f"{declared.api.url} is the node {node.name}, Proxmox VE {node.pve_version}")


def _stock(judge: Callable[[Contract, ObservedSite], Iterator[Finding]]) -> Look:
    def look(view: View) -> Iterator[Finding]:
        view.token("verify")
        return judge(view.contract, view.site.site())

    return look


CHECKS: tuple[Check, ...] = (
    Check("ssh.host-key", "the pinned SSH host key", "bootstrap", _host_key, reaches=True),
    Check("ssh.login", "login, and root", "bootstrap", _login, reaches=True),
    Check("host.release", "series of Proxmox VE and Debian", "bootstrap", _on_host(host.judge_release)),
    Check("host.alone", "no cluster", "bootstrap", _alone),
    Check("host.name", "its own name", "bootstrap", _host_name),
    Check("hardware.memory", "memory", "bootstrap", _on_hardware(host.judge_memory), "hardware.memory"),
    Check("hardware.disk", "disk", "bootstrap", _on_hardware(host.judge_disk), "hardware.disk"),
    Check("hardware.nic", "network link", "bootstrap", _on_hardware(host.judge_nic), "hardware.nic"),
    Check("hardware.model", "machine and processor", "bootstrap", _on_hardware(host.judge_model), "hardware.model"),
    Check("hardware.kvm", "KVM", "bootstrap", _on_host(host.judge_virtualization), "platform.virtualization"),
    Check("host.packages", "package system", "bootstrap", _packages),
    Check("host.space", "room on its file systems", "bootstrap", _space),
    Check("bootstrap.refusals", "what bootstrap would refuse", "bootstrap", _bootstrap),
    Check("artifacts", "artifact server", "bootstrap", _artifacts),
    Check("time", "time servers", "bootstrap", _clocks),
    Check("authority", "who has authority over DHCP and DNS", "bootstrap", _authority),
    Check("dns.hypervisor", "the hypervisor's names", "bootstrap", _own_names),
    Check("host.repositories", "package repositories", "provision", _repositories),
    Check("dns.guests", "the VMs' names", "provision", _guest_names),
    Check("dhcp.reservations", "DHCP reservations", "provision", _reservations),
    Check("api.certificate", "API, and its pinned certificate", "provision", _certificate, reaches=True),
    Check("token.verify", "the token that reads", "provision", _token("verify")),
    Check("api.node", "the declared node", "provision", _node),
    Check("token.provision", "the token that makes VMs", "provision", _token("provision")),
    Check("template", "templates", "provision", _stock(stock.judge_templates)),
    Check("storages", "storages", "provision", _stock(stock.judge_storages)),
    Check("provision.plan", "room for the VMs", "provision", _stock(stock.judge_plan)),
)
