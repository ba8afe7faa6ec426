"""Look at the hypervisor before the first change, in one trip, and change nothing."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import PurePosixPath
from typing import Any

from harness.bootstrap.variables import key_target, render_sources, required_packages
from harness.contract import Contract
from harness.errors import Refused
from harness.remote.ssh import Result

HALF = ".new"  # PVE's answer, while it is being written
LIMIT_S = 180.0  # a lock of apt's and a slow repository


@dataclass(frozen=True)
class Found:
    """The hypervisor's answers, parsed when they are asked for."""

    sections: Mapping[str, str]

    @property
    def debian(self) -> str:
        """`debian 12`."""
        pairs = dict(line.split("=", 1) for line in self._lines("os") if "=" in line)
        return f"{pairs.get('ID', '?')} {pairs.get('VERSION_ID', '?')}".replace('"', "")

    @property
    def version(self) -> str | None:
        """What dpkg knows of pve-manager, however far it got; None when it was never there."""
        status, _, version = self._text("manager").partition("|")
        return version if version and "no packages found" not in status else None

    @property
    def cluster_files(self) -> tuple[str, ...]:
        return tuple(self._lines("cluster"))

    @property
    def is_member(self) -> bool:
        """The cluster file system names other nodes only in a cluster."""
        members = _json(self._text("members"))
        return isinstance(members, dict) and bool({"cluster", "nodelist"} & members.keys())

    @property
    def unfinished_packages(self) -> tuple[str, ...]:
        """Packages that dpkg has not finished."""
        return tuple(line.split()[0] for line in self._lines("dpkg") if line.startswith(" "))

    @property
    def dpkg_complains(self) -> str:
        return self._text("dpkg")

    @property
    def held(self) -> tuple[str, ...]:
        return tuple(sorted(self._lines("held")))

    @property
    def pins(self) -> Mapping[str, str]:
        """What the files of apt's preferences say of a package: `Pin: …, by FILE`."""
        said: dict[str, str] = {}
        names: list[str] = []
        for line in self._lines("pins"):
            file, _, rest = line.partition(":")
            key, _, value = rest.partition(":")
            if key == "Package":
                names = value.split()
            else:
                said |= dict.fromkeys(names, f"{value.strip()} by {file}")
        return said

    @property
    def free_bytes(self) -> Mapping[str, int]:
        rows = (line.split() for line in self._lines("disk"))
        return {row[0]: int(row[1]) for row in rows if len(row) == 2}

    @property
    def nics(self) -> frozenset[str]:
        return frozenset(self._lines("nics"))

    @property
    def storages(self) -> list[dict[str, Any]] | None:
        """None when PVE does not answer."""
        found = _json(self._text("storages"))
        return found if isinstance(found, list) else None

    @property
    def users(self) -> list[dict[str, Any]] | None:
        found = _json(self._text("users"))
        return found if isinstance(found, list) else None

    @property
    def pve_says(self) -> str:
        """PVE's own words where it gave no list."""
        told = [self._text(name) for name in ("storages", "users") if _json(self._text(name)) is None]
        return " ".join(" ".join(told).split()) or "nothing"

    @property
    def tokens(self) -> frozenset[str]:
        """The full names of the tokens that are there."""
        return frozenset(
            f"{user['userid']}!{token['tokenid']}" for user in self.users or () for token in user.get("tokens") or ()
        )

    @property
    def waiting_tokens(self) -> frozenset[str]:
        """Purposes whose secret an earlier run left on the host, to be fetched."""
        return frozenset(name for name in self._lines("tokens") if not name.endswith(HALF))

    @property
    def half_tokens(self) -> frozenset[str]:
        """Purposes whose token may be there while its secret came into no file: the host died in between."""
        return frozenset(name.removesuffix(HALF) for name in self._lines("tokens") if name.endswith(HALF))

    @property
    def host_keys(self) -> tuple[str, ...]:
        return tuple(" ".join(line.split()[:2]) for line in self._lines("keys"))

    @property
    def has_chrony(self) -> bool:
        return "chrony" in self._lines("chrony")

    @property
    def repository_error(self) -> str | None:
        """apt's own words when the declared repositories did not all answer."""
        lines = self._lines("repository")
        if not any(line.startswith("update ended with") for line in lines):
            return None
        told = [line.removeprefix("E: ") for line in lines if line.startswith("E:")]
        return told[0] if told else " ".join(lines[-2:])

    @property
    def offered(self) -> tuple[str, ...]:
        """The versions of pve-manager in the declared repositories."""
        rows = [line.split("|") for line in self._lines("offered")]
        return tuple(row[1].strip() for row in rows if len(row) == 3)

    def _text(self, name: str) -> str:
        return self.sections.get(name, "").strip()

    def _lines(self, name: str) -> list[str]:
        return [line for line in self.sections.get(name, "").splitlines() if line.strip()]


def look(contract: Contract, run: Callable[[str], Result]) -> Found:
    """Ask the hypervisor; Refused when the script did not come to its end."""
    ended = run(render_script(contract))
    found = parse_sections(ended.stdout)
    if "end" not in found:
        raise Refused(
            tried="look at the hypervisor before the first change",
            on=contract.hypervisor.name,
            happened=f"the script ended with {ended.rc}: {' '.join(ended.stderr.split())[-300:] or 'no reason given'}",
            do="Look whether root has a POSIX shell there and the disk is not full",
        )
    return Found(found)


def render_script(contract: Contract) -> str:
    """The script with the repositories and the key that it is to try."""
    packages = required_packages(contract)
    key = base64.b64encode(packages.key.read_bytes()).decode() if packages.key else ""
    said = {
        "SOURCES": render_sources(packages, key="@KEY@" if packages.key else None),
        "KEY": key,
        "KEY_NAME": PurePosixPath(key_target(packages)).name,
    }
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in said.items())
    return assignments + resources.files(__package__).joinpath("look.sh").read_text()


def parse_sections(text: str) -> dict[str, str]:
    """What stands between the lines `== name`."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("== "):
            name = line[3:]
            found[name] = ""
        elif name:
            found[name] += f"{line}\n"
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
