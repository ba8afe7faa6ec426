"""Know what checks with given fixtures will ask, so that all of it can be asked at once before the first of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import partial

from harness.contract import Guest
from harness.verify.planned import NEEDS_SEGMENT, guests_inside, plan_trips
from harness.verify.site_view import SiteView

NEEDS_SERVICES = frozenset({"listening", "reporting"})

Task = Callable[[], object]


def look_ahead(site: SiteView, fixtures: Set[str], guests: Iterable[Guest]) -> None:
    """Begin with the looks that checks with these fixtures about these guests will ask for; nobody waits here."""
    chosen = tuple(guests)
    inside = guests_inside(site.contract, fixtures, chosen)
    plan_trips(site.trips, site.contract, fixtures, chosen)
    site.looks.ahead(
        [
            *_host_tasks(site, fixtures, inside),
            *_wire_tasks(site, fixtures, chosen),
            *_api_tasks(site, fixtures),
        ]
    )


def _host_tasks(site: SiteView, fixtures: Set[str], inside: Iterable[Guest]) -> Iterator[Task]:
    """The slowest first: what waits for DHCP servers begins before all that only needs a processor."""
    for bridge in site.bridges_of_guests if fixtures & NEEDS_SEGMENT else ():
        yield partial(site.segment, bridge)
    named: Mapping[str, Task] = {"host_setup": site.host_setup, "hypervisor_host": site.host, "router": site.router}
    yield from (task for name, task in named.items() if name in fixtures)
    yield from (partial(site.guest, guest) for guest in inside)


def _wire_tasks(site: SiteView, fixtures: Set[str], chosen: Iterable[Guest]) -> Iterator[Task]:
    if "wire" in fixtures:
        yield from (partial(site.wire, guest) for guest in chosen)
    if fixtures & NEEDS_SERVICES:
        yield from site.service_looks(chosen)


def _api_tasks(site: SiteView, fixtures: Set[str]) -> Iterator[Task]:
    asked: Mapping[Task, Set[str]] = {
        site.vms: {"vms", "vm"},
        site.node: {"node"},
        site.cluster: {"cluster", "replication_jobs"},
        site.jobs: {"saving_jobs"},
        site.backups: {"backup_facts"},
        site.site: {"plan"},
        site.cluster_options: {"cluster_options"},
        site.storages: {"storages"},
        site.bridges: {"observed_bridge"},
        site.containers: {"strangers"},
        site.disks: {"disks"},
        site.storage_servers: {"tenant_storages"},
        site.roles: {"undone_roles"},
        site.users: {"undone_users", "undone_tokens", "other_tokens"},
        site.access_list: {"undone_grants"},
        site.pools: {"undone_pool", "terraformed", "tenanted"},
        site.resources: {"undone_pool"},
        site.backup_jobs: {"undone_backup"},
    }
    yield from (task for task, names in asked.items() if names & fixtures)
