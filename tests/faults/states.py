"""The states a guest may be in when somebody looks, and what may be said of it then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness import probe
from harness.errors import Unreachable
from harness.wait import wait_until
from tests.faults.bench import HYPERVISOR, ROUTER, Bench
from tests.faults.network_faults import INSIDE, NAMES, RELOAD
from tests.faults.ways import NODE, Way, called, edited, ran, together

BACK_S = 30.0
ANSWERS_NOBODY: Mapping[str, str] = {
    **dict.fromkeys(INSIDE, "unknown"),
    "network.reachable": "fail",
    "service.healthy": "fail",
}


@dataclass(frozen=True)
class State:
    """A guest's state, and every clause that does not hold for it then; all others must."""

    name: str
    guest: str
    seed: Way
    verdicts: Mapping[str, str]

    def __str__(self) -> str:
        return self.name


def until_it_answers(address: str, way: Way) -> Way:
    """Undone when the guest's SSH server answers again."""

    @contextmanager
    def waiting(bench: Bench) -> Iterator[None]:
        with way(bench):
            yield
        waited = wait_until(lambda: _banner(address), deadline_s=BACK_S)
        assert waited.value is not None, f"{address}: {waited.last_seen}"

    return waiting


def _banner(address: str) -> tuple[str | None, str]:
    try:
        return probe.ssh_banner(address, timeout_s=1.0), "it answers"
    except Unreachable as silence:
        return None, silence.happened


def verdicts_of(guest: str, result: Mapping[str, Any]) -> dict[str, str]:
    """The worst verdict of each clause that does not hold for this guest, out of verify's JSON."""
    found = {}
    for clause in result["clauses"]:
        said = {check["verdict"] for check in clause["checks"] if check["guest"] == guest} - {"pass"}
        if said and clause["verdict"] not in ("waived", "unasserted"):
            found[clause["id"]] = "fail" if "fail" in said else said.pop()
    return found


STATES = (
    State(
        "stopped",
        "metrics-vm01",
        until_it_answers("198.18.99.30", called("POST", f"{NODE}/qemu/130/status/stop")),
        ANSWERS_NOBODY,
    ),
    State(
        "paused",
        "logs-vm01",
        until_it_answers("198.18.99.31", called("POST", f"{NODE}/qemu/131/status/suspend")),
        # The kernel, which the lab's guests share, still takes connections to a paused one: whether its service is well
        # only the guest itself could say.
        {**ANSWERS_NOBODY, "service.healthy": "unknown"},
    ),
    State(
        "no agent",  # nothing is promised of a VM that only its agent could tell
        "dashboards-vm01",
        ran("dashboards-vm01", "systemctl stop qemu-guest-agent", "systemctl start qemu-guest-agent"),
        {},
    ),
    State(
        "no lease",
        "alerting-vm01",
        until_it_answers(
            "198.18.99.33",
            together(
                ran("alerting-vm01", "true", "systemctl start systemd-networkd"),
                ran(
                    "alerting-vm01",
                    "systemctl stop systemd-networkd.socket systemd-networkd; ip -4 address flush dev eth0",
                    "true",
                ),
            ),
        ),
        ANSWERS_NOBODY,
    ),
    State(
        "wrong DNS",
        "ansible-vm01",
        edited(ROUTER, NAMES, "^198.18.99.34 ", "198.18.99.77 ", then=RELOAD),
        {"network.dns": "fail", "network.reachable": "fail"},
    ),
    State(
        "unreachable",
        "factory-vm01",
        until_it_answers("198.18.99.35", ran(HYPERVISOR, "ip link set tap135i0 down", "ip link set tap135i0 up")),
        ANSWERS_NOBODY,
    ),
)
