"""Let the hypervisor itself undo a drill's changes after a bounded time, whatever became of us."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from harness.drills.tools import Tools
from harness.errors import Refused

SCRIPT = Path(__file__).with_name("guard.sh")
State = Literal["armed", "undone", "failed"]
# Nothing of ours lies on the hypervisor while no drill is under way, so the script comes along each time.
_RUN = 'set -eu; f=$(mktemp); trap \'rm -f "$f"\' EXIT; printf %s {script} >"$f"; sh "$f" {arguments}'


@dataclass(frozen=True)
class Found:
    """What the guard of an earlier drill has to say."""

    state: State
    drill: str
    since: str
    said: str

    def __str__(self) -> str:
        words = {
            "armed": f"the drill {self.drill} of {self.since} has not undone its changes",
            "undone": f"the hypervisor itself undid the drill {self.drill} at {self.since}",
            "failed": f"the hypervisor could not undo the drill {self.drill} at {self.since}",
        }
        return words[self.state] + (f" ({self.said})" if self.said and self.state == "failed" else "")


def arm(tools: Tools, drill: str, undo: str, *, within_s: int) -> None:
    """From now on `undo` (a script of sh) runs there within that time, also after a restart."""
    _guard(tools, "arm", drill, str(within_s), stdin=undo)


def undo(tools: Tools, *, timeout_s: float) -> None:
    """Undo now, and wait for it; the guard is gone afterwards. It stays when that fails."""
    _guard(tools, "undo", timeout_s=timeout_s)
    disarm(tools)


def disarm(tools: Tools) -> None:
    _guard(tools, "disarm")


def look(tools: Tools) -> Found | None:
    """What an earlier drill left; None when it left nothing."""
    lines = _guard(tools, "state").splitlines()
    if not lines:
        return None
    words = lines[0].split()
    if len(words) != 3 or words[0] not in {"armed", "undone", "failed"}:
        raise Refused(
            tried="see what the last drill left",
            on=tools.contract.hypervisor.name,
            happened=f"its guard says {lines[0]!r}",
            do="Look into /var/lib/mgmt-harness/drill there",
        )
    return Found(cast("State", words[0]), words[1], words[2], " ".join(lines[1:]))


def _guard(tools: Tools, *arguments: str, stdin: str | None = None, timeout_s: float = 30.0) -> str:
    command = _RUN.format(script=shlex.quote(SCRIPT.read_text()), arguments=shlex.join(arguments))
    return tools.tell_hypervisor(
        command, tried=f"{arguments[0]} the guard of a drill", stdin=stdin, timeout_s=timeout_s
    )
