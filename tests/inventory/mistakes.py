"""What a mistake in an inventory is: an edit of the shipped files, and the one problem that must be found."""

from __future__ import annotations

from dataclasses import dataclass

VM = "dvntm/host_vars/logs-vm01.yml"
METRICS = "dvntm/host_vars/metrics-vm01.yml"
HV = "dvntm/host_vars/hv01.yml"
SITE = "dvntm/group_vars/all/mgmt.yml"
NAMESPACE = "dvntm/group_vars/all/mac_namespace.yml"
VLANS = "dvntm/group_vars/all/vlans.yml"
WORKLOADS = "dvntm/group_vars/all/workloads.yml"
DEFAULTS = "dvntm/group_vars/management_vms/vm.yml"
HOSTS = "dvntm/hosts.yml"
ROUTER = "dvntm/host_vars/core-rt02.yml"


MAC = '"02:de:20:01:02:01"'


@dataclass(frozen=True)
class Mistake:
    """Replace `old` by `new` in `file`; the problem stands on the line that then holds `line` (of `at`)."""

    name: str
    file: str
    old: str
    new: str
    line: str
    words: tuple[str, ...]
    at: str | None = None
    severity: str = "error"


def mistake(name: str, file: str, old: str, new: str, line: str, *words: str, at: str | None = None) -> Mistake:
    return Mistake(name, file, old, new, line, words, at)


def doubt(name: str, file: str, old: str, new: str, line: str, *words: str, at: str | None = None) -> Mistake:
    return Mistake(name, file, old, new, line, words, at, "warning")
