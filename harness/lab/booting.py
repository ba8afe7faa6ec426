"""Wait until a machine of the lab has started everything, and say what it is when it has not."""

from __future__ import annotations

import socket
from pathlib import Path

from harness.errors import HarnessError, TimedOut
from harness.lab import machines
from harness.lab.commands import last_lines
from harness.lab.paths import LAB, Place
from harness.lab.spec import LabMachine
from harness.wait import wait_until

SSH_PORT = 22
BOOT_S = 60.0
JOURNAL_LINES = 5  # a program's own last word, before what systemd says about it
LISTEN_S = 10.0  # systemd said already that everything is started


def require_booted(machine: LabMachine, place: Place = LAB) -> None:
    """Everything its systemd was to start is started, and all of that is well."""
    folder = place.machines / machine.name
    state = wait_booted(machine, place)
    if state != "running":
        failed = machines.try_inside(folder, "systemctl", "--failed", "--plain", "--no-legend").stdout.strip()
        raise HarnessError(
            tried="boot the machine",
            on=machine.name,
            happened=f"its systemd says {state}; failed: {failed or 'nothing'}; {_why(folder, failed)}",
            do="If it stays so when you run the same command again, the cause is in those units' last lines",
        )


def wait_booted(machine: LabMachine, place: Place = LAB) -> str:
    """What systemd says when it has started everything, or at the end of our patience."""
    folder = place.machines / machine.name

    def look() -> tuple[bool | None, str]:
        state = machines.try_inside(folder, "systemctl", "is-system-running").stdout.strip()
        return (True if state in ("running", "degraded") else None), state or "nothing"

    return wait_until(look, deadline_s=BOOT_S, first_pause_s=0.05, longest_pause_s=0.2).last_seen


def _why(folder: Path, failed: str) -> str:
    """The last words of the first failed unit."""
    unit = failed.split(maxsplit=1)[0] if failed else "init.scope"
    told = machines.try_inside(
        folder, "journalctl", "--no-pager", "--output=cat", f"--lines={JOURNAL_LINES}", f"--unit={unit}"
    ).stdout
    return last_lines(told, JOURNAL_LINES)


def wait_listening(machine: LabMachine, port: int, unit: str, place: Place = LAB) -> None:
    """Somebody answers on that port of the machine; the unit that should is asked why, when nobody does."""

    def look() -> tuple[bool | None, str]:
        try:
            with socket.create_connection((str(machine.address), port), timeout=1):
                return True, "it answers"
        except OSError as error:
            return None, str(error)

    folder = place.machines / machine.name
    waited = wait_until(look, deadline_s=LISTEN_S, first_pause_s=0.02, longest_pause_s=0.2)
    if waited.value is None:
        raise TimedOut(
            tried=f"reach port {port}",
            on=f"{machine.name} ({machine.address})",
            happened=f"not within {waited.seconds:.0f} s: {waited.last_seen}; {unit} says: {_why(folder, unit)}",
            do=f"Check that this machine's firewall lets traffic to {machine.address} through",
        )
