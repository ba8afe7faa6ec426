"""Propose the next free MAC of a site, over all sites."""

from __future__ import annotations

from harness.contract import Mac
from harness.errors import Invalid
from harness.identity import next_free_mac
from harness.inventory.site import Inventory


def propose_mac(inventory: Inventory, *others: Inventory, category: str, group: str) -> Mac:
    """The next free MAC for a new VM of `inventory`'s site, over all the sites given."""
    taken = [mac for site in (inventory, *others) for mac in site.macs]
    namespace = inventory.mac_namespace
    for key, name, known in (("roles", category, namespace.roles), ("groups", group, namespace.groups)):
        if name not in known:
            happened = f"mgmt_mac_namespace.{key} has no {name!r}"
            do = f"Choose one of {', '.join(known)}, or give {name!r} a byte there"
            raise Invalid(tried="propose a MAC", on=inventory.site, happened=happened, do=do)
    try:
        return next_free_mac(namespace, taken, category=category, group=group)
    except ValueError as cause:
        do = "Add a group to mgmt_mac_namespace.groups"
        raise Invalid(tried="propose a MAC", on=inventory.site, happened=str(cause), do=do) from cause
