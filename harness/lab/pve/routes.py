"""Every path the simulator answers, found by method and path."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping

from . import (
    access_calls,
    access_lists,
    access_tokens,
    agent_calls,
    backup_jobs,
    cluster_calls,
    node_calls,
    node_guests,
    pools,
    storage_calls,
    task_calls,
    thin_pool,
    uploads,
    url_metadata,
    vm_clone,
    vm_create,
    vm_lifecycle,
    vm_power,
    vm_read,
    vm_status,
    vm_update,
    volume_calls,
    vzdump,
)
from .call import Route

_MODULES = (
    access_calls, access_lists, access_tokens, agent_calls, backup_jobs, cluster_calls, node_calls, node_guests, pools,
    storage_calls, task_calls, vm_clone, vm_create, vm_lifecycle, vm_power, vm_read, vm_status, vm_update,
    thin_pool, uploads, url_metadata, volume_calls, vzdump,
)  # fmt: skip
ROUTES: tuple[Route, ...] = tuple(route for module in _MODULES for route in module.ROUTES)


def _by_shape() -> Mapping[tuple[str, int], list[tuple[list[str], Route]]]:
    table: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
    for route in ROUTES:
        parts = route.template.strip("/").split("/")
        table.setdefault((route.method, len(parts)), []).append((parts, route))
    for candidates in table.values():
        # A literal part beats a placeholder: /cluster/ha/resources before /cluster/ha/{sid}.
        candidates.sort(key=lambda candidate: sum(part.startswith("{") for part in candidate[0]))
    return table


_TABLE = _by_shape()
_BEFORE_VOLUME = 5  # /nodes/{node}/storage/{storage}/content


def find(method: str, path: str) -> tuple[Route, dict[str, str]] | None:
    """The route and its path parameters; doubled and trailing slashes do not matter."""
    parts = _with_whole_volume([part for part in path.split("/") if part] or [""])
    for template, route in _TABLE.get((method, len(parts)), []):
        if all(want == got or want.startswith("{") for want, got in zip(template, parts, strict=True)):
            pairs = zip(template, parts, strict=True)
            return route, {want[1:-1]: urllib.parse.unquote(got) for want, got in pairs if want.startswith("{")}
    return None


def _with_whole_volume(parts: list[str]) -> list[str]:
    """A volume ID has slashes of its own, and clients send them as they are."""
    if len(parts) <= _BEFORE_VOLUME or (parts[0], parts[2], parts[4]) != ("nodes", "storage", "content"):
        return parts
    return [*parts[:_BEFORE_VOLUME], "/".join(parts[_BEFORE_VOLUME:])]
