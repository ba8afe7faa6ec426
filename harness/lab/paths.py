"""Where the lab keeps what it builds once and what belongs to the running one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.embedded import STATE

FILES = Path(__file__).parent / "files"
SIMULATOR = Path(__file__).parent / "pve"
ROUTER_API = Path(__file__).parent / "router"

CACHE = Path("/var/cache/mgmt-lab")
LOCK = Path("/run/mgmt-lab.lock")  # outside STATE: `down` removes STATE while it holds the lock

BIN = STATE / "bin"  # a copy: a shell reads its script while it runs, and the checkout may change
SECRETS = STATE / "secrets"
MACHINES = STATE / "machines"
GUESTS = STATE / "guests"  # the hypervisor's /var/lib/pve-guests: overlayfs cannot write onto an overlay
IMAGE = STATE / "image"
KNOWN_HOSTS = STATE / "known_hosts"  # the lab's own knowledge, one file for each machine

LINK = "mgmt-lab0"
GROUP = "mgmt-lab"


@dataclass(frozen=True)
class Place:
    """Where one set of machines lives: its folder, its control group, and its link into this machine's network."""

    state: Path
    group: str
    link: str

    @property
    def bin(self) -> Path:
        return self.state / BIN.name

    @property
    def machines(self) -> Path:
        return self.state / MACHINES.name


LAB = Place(STATE, GROUP, LINK)
