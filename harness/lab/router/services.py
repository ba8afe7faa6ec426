"""Give the real daemons their files and start them anew, by the machine's own service command."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .daemons import LEASES_FILE

KEA, UNBOUND = "kea", "unbound"
CONFIG = {KEA: Path("/etc/kea/kea-dhcp4.conf"), UNBOUND: Path("/etc/unbound/unbound.conf")}
FOR_EVER = 0xFFFFFFFF


@dataclass(frozen=True)
class KeaLease:
    """A line of Kea's lease file; `state` 0 is a lease that counts."""

    address: str
    mac: str
    client_id: str
    valid_lifetime: int
    expire: int
    subnet_id: int
    hostname: str
    state: int


@dataclass(frozen=True)
class Services:
    """`command` is called as `command restart kea`, as systemctl is; `root` is where the files lie."""

    command: tuple[str, ...]
    root: Path = Path("/")

    def configure(self, service: str, text: str) -> None:
        """Write the daemon's file; the daemon does not know of it yet."""
        path = self.root / str(CONFIG[service])[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.write_text(text)
        unfinished.chmod(0o644)
        unfinished.replace(path)

    def tell(self, verb: str, service: str) -> bool:
        """Whether the command said yes: a daemon that does not like its file does not start."""
        return subprocess.run([*self.command, verb, service], check=False, stdout=subprocess.DEVNULL).returncode == 0

    def is_running(self, service: str) -> bool:
        return self.tell("is-active", service)

    def leases(self) -> list[KeaLease]:
        """The last word on each address: Kea appends, and repeats what changed."""
        return list({lease.address: lease for lease in self._lines()}.values())

    def _lines(self) -> Iterator[KeaLease]:
        path = self.root / LEASES_FILE[1:]
        for line in csv.DictReader(path.read_text().splitlines()) if path.exists() else ():
            yield KeaLease(
                address=line["address"],
                mac=line["hwaddr"],
                client_id=line["client_id"],
                valid_lifetime=int(line["valid_lifetime"]),
                expire=int(line["expire"]),
                subnet_id=int(line["subnet_id"]),
                hostname=line["hostname"].rstrip("."),
                state=int(line["state"]),
            )
