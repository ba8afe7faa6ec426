"""Make a clone itself: one script that gives it its own hostname, machine-id and SSH host keys, once."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from harness import errors
from harness.remote.known_hosts import HostKey, parse_key

SCRIPT = Path(__file__).with_name("personalise.sh")
# Our own lines in the script's output; package tools and systemctl may write others between them.
_LINE = re.compile(r"^mgmt-harness ([a-z-]+)=(.*)$", re.MULTILINE)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Outcome:
    """What the guest is now; `changed` names what this run changed of it, and is empty when it was itself already."""

    hostname: str
    machine_id: str
    host_keys: tuple[HostKey, ...]
    changed: frozenset[str]  # of hostname, machine-id, host-keys, network


def render_script(*, hostname: str, fqdn: str) -> str:
    """The script for one guest, to be run as root by a POSIX sh; running it again changes nothing."""
    for value in (hostname, fqdn):
        if not all(_LABEL.fullmatch(label) for label in value.split(".")):
            raise errors.Invalid(
                tried="render the identity script",
                on=repr(value),
                happened="it is no host name",
                do="Use lower-case letters, digits and hyphens",
            )
    return f"HOSTNAME_WANTED={shlex.quote(hostname)}\nFQDN_WANTED={shlex.quote(fqdn)}\n{SCRIPT.read_text()}"


def parse_outcome(text: str) -> Outcome:
    """The script's own account of what the guest is now; HarnessError when it did not reach its end."""
    said: dict[str, list[str]] = {}
    for match in _LINE.finditer(text.replace("\r\n", "\n")):
        said.setdefault(match[1], []).append(match[2].strip())
    if said.get("done") != ["yes"]:
        raise errors.HarnessError(
            tried="give the clone its own identity",
            on=said.get("hostname", ["the guest"])[-1],
            happened=f"the script ended early, last words: {' '.join(text.split()[-20:]) or 'none'}",
            do="Look at the guest's console; running provision again repeats this step",
        )
    return Outcome(
        hostname=said["hostname"][-1],
        machine_id=said["machine-id"][-1],
        host_keys=tuple(sorted(parse_key(line) for line in said["host-key"])),
        changed=frozenset(said.get("changed", ())),
    )
