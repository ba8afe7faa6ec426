"""OPNsense as a site's DHCP and DNS: Kea's reservations and Unbound's overrides, changed together or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness.contract import Contract, Mac
from harness.errors import HarnessError, Refused, TimedOut
from harness.evidence import Evidence
from harness.routers.observed import ObservedRouter
from harness.routers.opnsense_api import NoEndpoint, OpnsenseApi, open_api
from harness.routers.opnsense_changes import Step, changed, steps, touches_dhcp, touches_dns
from harness.routers.opnsense_entries import (
    Entries,
    collapsed,
    leases_of,
    parse_entries,
    plain_mac,
    records_of,
    reservation_of,
)
from harness.routers.opnsense_snapshot import as_plain, from_plain
from harness.routers.port import BACK, Changes, CoreRouter, Snapshot
from harness.wait import wait_until

GRIDS = {
    "subnets": "kea/dhcpv4/search_subnet",
    "reservations": "kea/dhcpv4/search_reservation",
    "overrides": "unbound/settings/search_host_override",
    "aliases": "unbound/settings/search_host_alias",
}
LEASES = "kea/leases4/search"
CONTROLLERS = {"reservation": "kea/dhcpv4", "host_override": "unbound/settings", "host_alias": "unbound/settings"}
WRAPPERS = {"reservation": "reservation", "host_override": "host", "host_alias": "alias"}
SERVICES = {"kea": "Kea DHCPv4", "unbound": "Unbound"}
# OPNsense starts its daemons in the background and says "ok" beforehand.
RUNNING_S = 20.0
STAYS = 3  # looks in a row


def render(contract: Contract) -> Mapping[str, str]:
    """The payloads that would make an empty router serve this contract, by the action that takes them.

    A subnet stands here for its UUID, and so does an override's name.
    """
    note = _note(contract)
    segments = contract.segments.values()
    reservations = [
        {
            "subnet": next((str(one.subnet) for one in segments if reservation.address in one.subnet), ""),
            "ip_address": str(reservation.address),
            "hw_address": reservation.mac,
            "hostname": reservation.name,
            "description": note,
        }
        for reservation in sorted(contract.reservations, key=lambda one: one.address)
    ]
    overrides, aliases = (
        [
            {
                "enabled": "1",
                **dict(zip(("hostname", "domain"), record.name.split(".", 1), strict=False)),
                **({"rr": "A", "server": record.target} if kind == "A" else {"host": record.target}),
                "description": note,
            }
            for record in contract.records
            if record.type == kind
        ]
        for kind in ("A", "CNAME")
    )
    tables = {"reservation": reservations, "host_override": overrides, "host_alias": aliases}
    return {
        f"{CONTROLLERS[table]}/add_{table}": "".join(f"{json.dumps({WRAPPERS[table]: one})}\n" for one in entries)
        for table, entries in tables.items()
    }


@contextmanager
def open_router(contract: Contract, evidence: Evidence | None = None) -> Iterator[CoreRouter]:
    """The site's OPNsense with the key of its inventory; refused when its Kea and Unbound are not what serves."""
    with open_api(contract, evidence) as api:
        router = _Opnsense(contract, api)
        router.require_usable()
        yield router


def _mac(fields: Mapping[str, Any]) -> Mac:
    return plain_mac(str(fields.get("hw_address", "")))


def _note(contract: Contract) -> str:
    return f"mgmt-harness: site {contract.site}"


class _Opnsense:
    def __init__(self, contract: Contract, api: OpnsenseApi) -> None:
        self._contract, self._api = contract, api
        # What a grid does not show of a reservation (its own DHCP options) and would be lost with it.
        self._whole: dict[Mac, Mapping[str, Any]] = {}

    def require_usable(self) -> None:
        """Refused where what we would write is not what is served."""
        general = self._api.get("kea/dhcpv4/get").get("dhcpv4", {}).get("general", {})
        if str(general.get("manual_config", "0")) == "1":
            happened = "Kea runs from a configuration that was edited by hand, so what its pages hold has no effect"
            raise self._refused(happened, "Switch manual configuration off in Services: Kea DHCP: Kea DHCPv4")
        if str(general.get("enabled", "0")) != "1":
            raise self._refused("Kea DHCPv4 is not enabled", "Enable it in Services: Kea DHCP: Kea DHCPv4")
        if self._status("unbound") != "running":
            raise self._refused(*self._why_no_unbound())

    def _why_no_unbound(self) -> tuple[str, str]:
        try:
            is_dnsmasq = self._status("dnsmasq") == "running"
            port = str(self._api.get("dnsmasq/settings/get").get("dnsmasq", {}).get("port", ""))
        except NoEndpoint:  # before 25.1
            is_dnsmasq, port = False, ""
        if is_dnsmasq and port in {"", "53"}:
            do = "Move Dnsmasq off port 53 and enable Unbound, or serve this site by hand"
            return "Dnsmasq answers on port 53 there, and only Unbound's overrides can be written", do
        return "Unbound does not run", "Enable it in Services: Unbound DNS: General and look at its log"

    def observe(self) -> ObservedRouter:
        entries = self._entries()
        leases = self._api.rows(LEASES, count=9999)
        return ObservedRouter(
            reservations=tuple(reservation_of(fields) for fields in entries.reservations.values()),
            leases=tuple(leases_of(leases, now=time.time())),
            records=tuple(records_of(entries)),
            sources=(*GRIDS.values(), LEASES),
        )

    def snapshot(self) -> Snapshot:
        """Plain JSON. A reservation's own DHCP options are no part of it: no grid shows them."""
        return as_plain(self._entries())

    def _entries(self) -> Entries:
        rows = {name: self._api.rows(path) for name, path in GRIDS.items()}
        entries = parse_entries(**rows)
        unclear = [uuid for uuid, fields in entries.aliases.items() if not fields["host"]]
        aliases = {**entries.aliases, **{uuid: self._whole_alias(uuid, entries) for uuid in unclear}}
        return Entries(entries.subnets, entries.reservations, entries.overrides, aliases)

    def _whole_alias(self, uuid: str, entries: Entries) -> Mapping[str, Any]:
        """Two overrides have one name, and the grid showed no more than that."""
        said = self._api.get(f"unbound/settings/get_host_alias/{uuid}").get("alias", {})
        return {**entries.aliases[uuid], "host": collapsed(said).get("host", "")}

    def write(self, changes: Changes) -> None:
        before = self._entries()
        on = self._contract.router.name
        wanted = changed(before, changes, on=on, note=_note(self._contract))
        made = steps(before, wanted)
        try:
            self._perform(made)
            self._activate(dhcp=touches_dhcp(made), dns=touches_dns(made))
        except HarnessError as error:
            self._put_back(as_plain(before), error)
            raise

    def _put_back(self, before: Snapshot, error: HarnessError) -> None:
        try:
            self.restore(before)
        except HarnessError as second:
            error.add_note(f"Nor could the router's state before be put back: {second}")
        else:
            error.add_note(f"{BACK} {self._contract.router.name}.")

    def restore(self, before: Snapshot) -> None:
        """Both services are told even when every entry is right: whoever changed them may have been cut off there."""
        now = self._entries()
        self._perform(steps(now, from_plain(before, now)))
        self._activate(dhcp=True, dns=True)

    def _perform(self, made: list[Step]) -> None:
        """OPNsense checks each entry by itself; nothing of it is active yet."""
        uuids: dict[str, str] = {}  # our keys -> those it gave
        for step in made:
            path = f"{CONTROLLERS[step.table]}/{step.verb}_{step.table}"
            if step.verb == "del":
                self._remember(step)
                self._api.post(f"{path}/{step.key}")
                continue
            whole = self._whole.get(_mac(step.fields), {}) if (step.table, step.verb) == ("reservation", "add") else {}
            fields = {**whole, **step.fields}
            if "host" in fields:
                fields["host"] = uuids.get(fields["host"], fields["host"])
            answer = self._api.post(
                path if step.verb == "add" else f"{path}/{step.key}", {WRAPPERS[step.table]: fields}
            )
            uuids[step.key] = str(answer.get("uuid") or step.key)

    def _remember(self, step: Step) -> None:
        if step.table == "reservation":
            said = self._api.get(f"kea/dhcpv4/get_reservation/{step.key}").get("reservation", {})
            self._whole[_mac(said)] = collapsed(said)

    def _activate(self, *, dhcp: bool, dns: bool) -> None:
        for name in [name for name, wanted in (("kea", dhcp), ("unbound", dns)) if wanted]:
            self._api.post(f"{name}/service/reconfigure")
        for name in [name for name, wanted in (("kea", dhcp), ("unbound", dns)) if wanted]:
            self._require_running(name)

    def _require_running(self, name: str) -> None:
        """A daemon that dislikes its configuration runs for a moment, too: it counts when it stays."""
        seen: list[str] = []

        def look() -> tuple[bool | None, str]:
            seen.append(self._status(name))
            return (True if seen[-STAYS:] == ["running"] * STAYS else None), seen[-1]

        waited = wait_until(look, deadline_s=RUNNING_S, first_pause_s=0.15, longest_pause_s=0.5)
        if waited.value is None:
            raise TimedOut(
                tried=f"activate the changes of {SERVICES[name]}",
                on=self._contract.router.name,
                happened=f"{waited.seconds:.0f} s later it is {waited.last_seen}",
                do=f"Look at the log of {SERVICES[name]} there: it does not start with what it was given",
            )

    def _status(self, name: str) -> str:
        return str(self._api.get(f"{name}/service/status").get("status", "unknown"))

    def _refused(self, happened: str, do: str) -> Refused:
        return Refused(tried="use its DHCP and DNS", on=self._contract.router.name, happened=happened, do=do)
