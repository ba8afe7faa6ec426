"""Remember which commands the specs asked of each host, so that the next run can send them all in one go.

What was answered is not kept. The file is a hint and nothing more: a command in it is sent only when the list of
those that read has it, so an edited, broken or foreign file costs a round trip and does nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from harness.remote.reading import only_reads
from harness.routers.dnsmasq_files import FIND_COMMAND, READ_SCRIPT

FILE = "asked.json"
# More than that is not sent ahead: one argument of a program holds 128 KiB.
MOST_CHARS = 60_000
OURS = frozenset({FIND_COMMAND, READ_SCRIPT})


@lru_cache(maxsize=4096)  # guests are asked the same
def may_foresee(command: str) -> bool:
    return only_reads(command, OURS)


class Memory:
    """What one folder of specs asked of each host, last time and this time; nothing is kept without a file."""

    def __init__(self, file: Path | None = None, specs: str = "") -> None:
        self._file = file
        self._specs = specs
        self._held = _read(file) if file else {}
        self._asked: dict[str, dict[str, None]] = {}
        self._lock = threading.Lock()

    def foresee(self, host: str) -> tuple[str, ...]:
        """The commands to send ahead."""
        chosen, length = [], 0
        for command in self._held.get(self._specs, {}).get(host, ()):
            length += len(command)
            if length <= MOST_CHARS and may_foresee(command):
                chosen.append(command)
        return tuple(chosen)

    def note(self, host: str, command: str) -> None:
        """A check asked this, and had an answer."""
        if may_foresee(command):
            with self._lock:
                self._asked.setdefault(host, {})[command] = None

    def keep(self, complete: Collection[str]) -> None:
        """Write down what to send next time; of the hosts in `complete` all was asked that is ever asked."""
        before = self._held.get(self._specs, {})
        hosts = {
            host: list(dict.fromkeys([*self._asked.get(host, ()), *(() if host in complete else before.get(host, ()))]))
            for host in dict.fromkeys([*before, *self._asked])
        }
        after = {host: commands for host, commands in hosts.items() if commands}
        if self._file and after != before:
            with suppress(OSError):  # the next run takes a round trip more, and says the same
                _write(self._file, {**self._held, self._specs: after})


def _read(file: Path) -> dict[str, dict[str, list[str]]]:
    """Whatever in it is not what this module writes counts for nothing."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return {specs: _texts(hosts) for specs, hosts in _entries(found) if isinstance(hosts, dict)}


def _texts(hosts: Mapping[str, object]) -> dict[str, list[str]]:
    lists = {host: commands for host, commands in hosts.items() if isinstance(commands, list)}
    return {host: [one for one in commands if isinstance(one, str)] for host, commands in lists.items()}


def _entries(found: object) -> Iterable[tuple[str, object]]:
    return found.items() if isinstance(found, dict) else ()


def _write(file: Path, held: Mapping[str, Mapping[str, list[str]]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    with os.fdopen(handle, "w") as new:
        json.dump(held, new, indent=1)
    Path(name).replace(file)
