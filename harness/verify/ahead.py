"""Know what checks with given fixtures will ask, so that all of it can be asked at once before the first of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from functools import partial

from harness.contract import Guest
from harness.verify.planned import NEEDS_HOSTS, plan_trips
from harness.verify.site_view import SiteView

NEEDS_SERVICES = frozenset({"listening", "reporting"})

Task = Callable[[], object]


# What is asked of the API, by who asks for it.
API: Mapping[Callable[[SiteView], object], Set[str]] = {
    SiteView.vms: {"vms", "vm"},
    SiteView.node: {"node"},
    SiteView.cluster: {"cluster", "replication_jobs"},
    SiteView.jobs: {"saving_jobs"},
    SiteView.backups: {"backup_facts"},
    SiteView.site: {"plan"},
    SiteView.cluster_options: {"cluster_options"},
    SiteView.storages: {"storages"},
    SiteView.bridges: {"observed_bridge"},
    SiteView.containers: {"strangers"},
    SiteView.disks: {"disks"},
    SiteView.storage_servers: {"tenant_storages"},
    SiteView.roles: {"undone_roles"},
    SiteView.users: {"undone_users", "undone_tokens", "other_tokens"},
    SiteView.access_list: {"undone_grants"},
    SiteView.pools: {"undone_pool", "terraformed", "tenanted"},
    SiteView.resources: {"undone_pool"},
    SiteView.backup_jobs: {"undone_backup"},
}


def look_ahead(site: SiteView, fixtures: Set[str], guests: Iterable[Guest]) -> None:
    """Begin with the looks that checks with these fixtures about these guests will ask for; nobody waits here."""
    chosen = tuple(guests)
    plan_trips(site.trips, site.contract, fixtures, chosen)
    site.trips.start()
    router: list[Task] = [site.router] if "router" in fixtures else []
    site.looks.ahead([*router, *_wire_tasks(site, fixtures, chosen), *_api_tasks(site, fixtures)])


def look_at_everything(site: SiteView) -> None:
    """The same for a whole run of our own specs, whose round trips are under way."""
    look_ahead(site, frozenset[str]().union(NEEDS_HOSTS, NEEDS_SERVICES, {"wire"}, *API.values()), site.contract.guests)


def _wire_tasks(site: SiteView, fixtures: Set[str], chosen: Iterable[Guest]) -> Iterator[Task]:
    if "wire" in fixtures:
        yield from (partial(site.wire, guest) for guest in chosen)
    if fixtures & NEEDS_SERVICES:
        yield from site.service_looks(chosen)


def _api_tasks(site: SiteView, fixtures: Set[str]) -> Iterator[Task]:
    yield from (partial(look, site) for look, names in API.items() if names & fixtures)
