"""Make a host of the inventory a VM, as part of one run for all hosts that Ansible works on."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

# Ansible knows of this folder alone; at the end, so that nothing of ours hides what Ansible imports.
sys.path.append(str(Path(__file__).resolve().parents[3]))
try:
    from harness.ansible.building import Request, answer
except ImportError as error:  # another Python than the checkout's own
    LACKS = str(error)
else:
    LACKS = ""

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core tells no types
    """Ansible looks for this name. Nothing here reaches for the host: it may not exist yet."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS = frozenset({"site_folder"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        if LACKS:
            folder = Path(__file__).resolve().parents[3]
            happened = f"Could not load the harness with {sys.executable}: {LACKS}."
            do = f"Run {folder}/.venv/bin/ansible-playbook (./invoke --list makes it)."
            return {**result, "failed": True, "msg": f"{happened} {do}"}
        _end_with_parent()
        return {**result, **answer(self._request(task_vars or {}))}

    def _request(self, variables: Mapping[str, Any]) -> Request:
        batch = 1 if self._task.run_once else len(variables.get("ansible_play_batch") or ())
        return Request(
            guest=str(variables["inventory_hostname"]),
            site_folder=self._task.args.get("site_folder"),
            sources=tuple(str(source) for source in variables.get("ansible_inventory_sources") or ()),
            check=bool(self._task.check_mode),
            batch=batch,
            at_once=self._at_once(batch, int(variables.get("ansible_forks") or 5)),
            folder=Path(constants.DEFAULT_LOCAL_TMP) / f"mgmt_guest-{self._task._uuid}",
            tell=display.v,
        )

    def _at_once(self, batch: int, forks: int) -> int:
        if self._task.throttle:
            return min(forks, int(self._task.throttle))
        if forks < batch:
            display.warning(
                f"Ansible works on {forks} of {batch} hosts at once, and only those are planned and cloned together: "
                f"--forks {batch} takes them all"
            )
        return forks


def _end_with_parent() -> None:
    """Ansible ends its processes when it is interrupted, but not when it is killed: an orphan would keep the lock."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
