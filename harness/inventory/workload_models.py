"""The keys of what VMs run: units, ports, health addresses, each with its type."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from harness.inventory.fields import Model, Port, Reason, unique

# An address may name the VM by {fqdn} or {name}; any other brace is a slip of the pen.
HEALTH = r"^https?://([^\s{}]|\{fqdn\}|\{name\})+$"


class Service(Model):
    unit: Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|target)$")]
    ports: Annotated[list[Port], AfterValidator(unique)] = Field([], description="TCP ports it listens on")
    udp_ports: Annotated[list[Port], AfterValidator(unique)] = Field([], description="UDP ports it listens on")
    health: Annotated[str, Field(pattern=HEALTH)] | None = Field(
        None, description="http(s)://…; {fqdn} and {name} stand for the VM's own"
    )


class Workload(Model):
    """An entry of `mgmt_workloads`: what every VM with this responsibility runs."""

    services: Annotated[list[Service], Field(min_length=1)]
    assumed: Reason | None = Field(None, description="why this is a guess, where nobody has decided yet")
