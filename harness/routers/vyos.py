"""VyOS as a site's DHCP and DNS: static mappings of its DHCP server and host mappings, changed in one commit."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import cast

from harness.contract import Contract, VyosRelease
from harness.errors import HarnessError, Refused
from harness.evidence import Evidence
from harness.routers.observed import ObservedRouter
from harness.routers.port import BACK, Changes, CoreRouter, Snapshot
from harness.routers.vyos_api import VyosApi, open_api
from harness.routers.vyos_config import (
    DHCP,
    MAC_LEAF,
    NAMES,
    ZONES,
    Config,
    changed,
    commands,
    parse_config,
    records_of,
    reservations_of,
)
from harness.routers.vyos_leases import parse_leases

LEASES = ("dhcp", "server", "leases")
NETWORK = "LAN"


def render(contract: Contract) -> Mapping[str, str]:
    """The commands that would make an empty router serve this contract; of an unknown release those of both.

    The shared network is the site's own: `router.apply` uses the one that holds the subnet.
    """
    declared = contract.router.api.release if contract.router.api else None
    releases = [declared] if declared else list(MAC_LEAF)
    return {f"VyOS {release}": "".join(f"{line}\n" for line in _lines(contract, release)) for release in releases}


def _lines(contract: Contract, release: VyosRelease) -> Iterator[str]:
    segments = [
        segment
        for segment in contract.segments.values()
        if any(one.address in segment.subnet for one in contract.reservations)
    ]
    subnets = {str(one.subnet): {"subnet-id": str(n)} if release == "1.5" else {} for n, one in enumerate(segments, 1)}
    empty = Config({"shared-network-name": {NETWORK: {"subnet": subnets}}}, {}, {})
    wanted = Changes((), tuple(sorted(contract.reservations, key=lambda one: one.address)), (), contract.records)
    made = changed(empty, wanted, release, on=contract.router.name)
    yield from map(str, commands(Config({}, {}, {}), made))


@contextmanager
def open_router(contract: Contract, evidence: Evidence | None = None) -> Iterator[CoreRouter]:
    """The site's VyOS with the key of its inventory; its release is asked where none is declared."""
    with open_api(contract, evidence) as api:
        declared = contract.router.api.release if contract.router.api else None
        yield _Vyos(contract.router.name, api, declared or _release(contract, api))


def _release(contract: Contract, api: VyosApi) -> VyosRelease:
    said = api.show("version")
    found = re.search(r"Version:\s+VyOS (\d+)\.(\d+)", said)
    # 1.3 spells as 1.4 does.
    known = {("1", "3"): "1.4", ("1", "4"): "1.4", ("1", "5"): "1.5"}
    release = known.get((found[1], found[2])) if found else None
    if release is None:
        raise Refused(
            tried="find out how this VyOS spells its configuration",
            on=contract.router.name,
            happened=f"its version is {said.splitlines()[0] if said else 'not told'}",
            do='Say which one it is like: mgmt_router.api.release "1.4" (mac-address) or "1.5" (mac, subnet-id)',
        )
    return cast("VyosRelease", release)


class _Vyos:
    def __init__(self, name: str, api: VyosApi, release: VyosRelease) -> None:
        self._name, self._api, self._release = name, api, release

    def observe(self) -> ObservedRouter:
        config = self._config()
        leases = parse_leases(self._api.show(*LEASES), now=time.time(), on=self._name)
        return ObservedRouter(
            reservations=tuple(reservations_of(config)),
            leases=tuple(leases),
            records=tuple(records_of(config)),
            sources=tuple(" ".join(path) for path in (DHCP, NAMES, ZONES, ("show", *LEASES))),
        )

    def snapshot(self) -> Snapshot:
        """Plain JSON, as the API shows the configuration."""
        return asdict(self._config())

    def _config(self) -> Config:
        forwarding = self._api.config(*ZONES[:-1])
        return parse_config(self._api.config(*DHCP), self._api.config(*NAMES), forwarding.get(ZONES[-1], {}))

    def write(self, changes: Changes) -> None:
        before = self._config()
        wanted = changed(before, changes, self._release, on=self._name)
        try:
            if self._commit(before, wanted):
                self._api.save()
        except HarnessError as error:  # a commit whose answer was lost may have been made
            self._put_back(before, error)
            raise

    def restore(self, before: Snapshot) -> None:
        """Saved even when the running configuration is right: whoever changed it may have been cut off before that."""
        self._commit(self._config(), Config(**before))
        self._api.save()

    def _commit(self, now: Config, wanted: Config) -> bool:
        made = commands(now, wanted)
        if made:
            self._api.commit(made)
        return bool(made)

    def _put_back(self, before: Config, error: HarnessError) -> None:
        try:
            self.restore(asdict(before))
        except HarnessError as second:
            error.add_note(f"Nor could the router's state before be put back: {second}")
        else:
            error.add_note(f"{BACK} {self._name}.")
