"""Ask what the core router answers: DNS from here, DHCP on the hypervisor's bridge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from harness import probe
from harness.contract import Contract, Mac
from harness.engine.proving import ServiceLooks
from harness.errors import Refused
from harness.evidence import Evidence
from harness.probing import dhcp
from harness.remote import hosts, ssh


@contextmanager
def open_service_looks(contract: Contract, *, offers: bool = True) -> Iterator[ServiceLooks]:
    """For as long as the block runs; without `offers` nobody is logged in to."""
    server, port = str(contract.router.dns), contract.router.dns_port
    resolve_a = partial(probe.resolve_a, server=server, port=port)
    resolve_ptr = partial(probe.resolve_ptr, server=server, port=port)
    if not offers:
        yield ServiceLooks(None, resolve_a, resolve_ptr)
        return
    login = ssh.hypervisor_login(contract)
    with ssh.connections([login]) as opened:
        shell = hosts.runner(opened, login.name, evidence=Evidence(), source="host")

        def ask(bridge: str, macs: Sequence[Mac]) -> Mapping[str, set[str]]:
            answer = shell(dhcp.render_command(bridge, macs, until_all=True, sudo=login.user != "root"))
            if answer.rc != 0:
                raise Refused(
                    tried="ask for DHCP offers",
                    on=login.name,
                    happened=" ".join(answer.stderr.split()[-20:]) or f"the command ended with {answer.rc}",
                    do=f"It needs root and python3 there, and the bridge {bridge}",
                )
            heard = dhcp.parse_answers(answer.stdout)
            ours = {str(contract.router.address), *(str(one.gateway) for one in contract.segments.values())}
            return {mac: {one.address for one in heard.offers_to(mac) if one.server.address in ours} for mac in macs}

        yield ServiceLooks(ask, resolve_a, resolve_ptr)
