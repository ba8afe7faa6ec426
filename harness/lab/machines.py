"""Start the lab's switch and machines, find the running ones again, and run commands in them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from harness.errors import HarnessError, TimedOut
from harness.lab import cgroups
from harness.lab.commands import environment, last_lines
from harness.lab.paths import LAB, Place
from harness.wait import wait_until

START_S = 10.0
SWITCH = "switch"
START_TIME = 19  # index in /proc/PID/stat behind the command's name


def mac_of(address: IPv4Address) -> str:
    """Locally administered, and easy to recognise in a capture: 02:99 and the address."""
    return f"02:99:{address.packed.hex(':')}"


def start_switch(place: Place = LAB) -> int:
    """The bridge everything is plugged into; the pid in whose network it is."""
    folder = place.machines / SWITCH
    folder.mkdir(parents=True)
    launch(folder, ["unshare", "--net", str(place.bin / "switch"), str(folder)], place)
    return wait_started(folder)


def start_machine(folder: Path, place: Place = LAB) -> None:
    """Boot the machine of that folder; `wait_started` tells when its systemd exists."""
    group = cgroups.group_named(place.group) / folder.name
    launch(folder, [*at_the_switch(place), str(place.bin / "supervise"), str(folder), str(group)], place)


def at_the_switch(place: Place) -> list[str]:
    """What a command starts with that is to run in the switch's network."""
    return at_the_machine(place.machines / SWITCH)


def at_the_machine(folder: Path) -> list[str]:
    """What a command of this machine starts with that is to run in the network of that one."""
    return ["nsenter", f"--net=/proc/{running(folder)}/ns/net"]


def wait_started(folder: Path) -> int:
    """The pid of the machine's first process."""

    def look() -> tuple[int | None, str]:
        ended = -1 if (folder / "exit").exists() else None  # no need to wait any longer
        return running(folder) or ended, _console(folder)

    waited = wait_until(look, deadline_s=START_S, first_pause_s=0.01, longest_pause_s=0.05)
    if waited.value in (None, -1):
        raise TimedOut(
            tried="start the machine",
            on=folder.name,
            happened=f"it did not start within {waited.seconds:.0f} s and said: {waited.last_seen}",
            do="Run the same command again; if it stays so, look at what this machine forbids: ./invoke doctor",
        )
    return waited.value


def running(folder: Path) -> int | None:
    """The pid the folder's machine runs under; None when that process is gone, even if another has its pid."""
    return alive(folder / "pid", Path("/proc"))


def alive(record: Path, proc: Path) -> int | None:
    """The pid in the record, seen through that /proc, when the process with its start time still runs."""
    try:
        pid, started = record.read_text().split()
        fields = (proc / pid / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(pid) if fields[START_TIME] == started and fields[0] != "Z" else None


def run_inside(folder: Path, *argv: str, tried: str) -> str:
    """The output of a command run in the machine."""
    done = try_inside(folder, *argv)
    if done.returncode != 0:
        said = last_lines(done.stderr or done.stdout)
        do = "Take the lab down and bring it up again: ./invoke lab.down, ./invoke lab.up"
        raise HarnessError(tried=tried, on=folder.name, happened=f"{argv[0]} said: {said}", do=do)
    return done.stdout


def try_inside(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """The same without judging how it ended."""
    pid = running(folder)
    namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/"]
    inside = ["nsenter", f"--target={pid}", *namespaces, "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *argv]
    return subprocess.run(inside, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def launch(folder: Path, argv: Sequence[str], place: Place = LAB) -> None:
    """Start a process that belongs to the lab and not to this program: it outlives it and is nobody's child."""
    group = cgroups.make_group(folder.name, within=place.group)
    joined = ["sh", "-c", 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"', "sh", str(group), *argv]
    with (folder / "console.log").open("ab") as console:
        subprocess.run(
            ["setsid", "--fork", *joined],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            check=True,
            cwd="/",
            env=environment(),
        )


def _console(folder: Path) -> str:
    log = folder / "console.log"
    return last_lines(log.read_text(errors="replace")) if log.exists() else "nothing"
