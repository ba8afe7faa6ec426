"""Keep the router's configuration in one file, so that it outlives the process and the machine's reboot."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any


class StateFile:
    """The configuration as one JSON value; hold `lock` while it is read and changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.value: dict[str, Any] = json.loads(path.read_text())

    def save(self, value: dict[str, Any]) -> None:
        """In one step: there is the old configuration or the new one."""
        self.value = value
        write_state(self.path, value)


def write_state(path: Path, value: dict[str, Any]) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(value))
    unfinished.replace(path)
