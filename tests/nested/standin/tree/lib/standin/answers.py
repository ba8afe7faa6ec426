"""What the stand-in takes and refuses of an answer file: written from the installer's rules, for itself alone."""

import ipaddress
import re
import tomllib

KNOWN = {
    "global": "keyboard country fqdn mailto timezone root-password root-password-hashed root-ssh-keys reboot-on-error "
    "reboot-mode",
    "network": "source cidr dns gateway filter",
    "disk-setup": "filesystem disk-list filter filter-match lvm zfs btrfs",
    "post-installation-webhook": "url cert-fingerprint",
    "first-boot": "source url cert-fingerprint ordering",
}
NEEDED = {"global": "keyboard country fqdn mailto timezone", "network": "", "disk-setup": "filesystem"}
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def read(text):
    """The tables; ValueError with the installer's kind of words."""
    tables = {name.replace("_", "-"): table for name, table in tomllib.loads(text).items()}
    for name, keys in NEEDED.items():
        if name not in tables:
            raise ValueError(f"missing field `{name}`")
        tables[name] = {key.replace("_", "-"): value for key, value in tables[name].items()}
        for key in keys.split():
            if key not in tables[name]:
                raise ValueError(f"missing field `{key}`")
    for name, table in tables.items():
        if name not in KNOWN:
            raise ValueError(f"unknown field `{name}`")
        for key in table:
            if key not in KNOWN[name].split():
                raise ValueError(f"unknown field `{key}`, expected one of `{'`, `'.join(KNOWN[name].split())}`")
    _global(tables["global"])
    _network(tables["network"])
    _disk(tables["disk-setup"])
    return tables


def _global(table):
    if ("root-password" in table) == ("root-password-hashed" in table):
        raise ValueError("`global.root-password` and `global.root-password-hashed` cannot be set at the same time")
    if len(table.get("root-password", "12345678").encode()) < 8:
        raise ValueError("`global.root-password` must be at least 8 characters long")
    labels = table["fqdn"].split(".")
    if len(labels) < 2 or not all(LABEL.fullmatch(label) for label in labels) or labels[0].isdecimal():
        raise ValueError("invalid FQDN")
    if table.get("reboot-mode", "reboot") not in ("reboot", "power-off"):
        raise ValueError("unknown variant, expected `reboot` or `power-off`")
    if not re.fullmatch("[a-z]{2}", table["country"]):
        raise ValueError(f"country code '{table['country']}' is not valid")


def _network(table):
    manual = [key for key in ("cidr", "dns", "gateway", "filter") if key in table]
    if table.get("source", "from-dhcp") == "from-dhcp":
        if manual:
            raise ValueError(f"Field '{manual[0]}' not supported for 'from-dhcp' config.")
        return
    for key in ("cidr", "dns", "gateway", "filter"):
        if key not in table:
            raise ValueError(f"Field '{key}' must be set.")
    ipaddress.ip_interface(table["cidr"])
    ipaddress.ip_address(table["gateway"])


def _disk(table):
    if "disk-list" not in table and "filter" not in table:
        raise ValueError("Need either 'disk_list' or 'filter' set")
    if "disk-list" in table and "filter" in table:
        raise ValueError("Cannot use both, 'disk_list' and 'filter'")
    if table["filesystem"] in ("ext4", "xfs") and len(table.get("disk-list", [])) > 1:
        raise ValueError("make sure to define only one disk for ext4 and xfs")
