"""Keep everything the simulator knows in one JSON file that survives a power cut at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

FORMAT = 1


def _empty() -> dict[str, Any]:
    return {
        "format": FORMAT,
        "key": secrets.token_hex(32),  # signs tickets and CSRF tokens
        "users": {"root@pam": {"enable": 1, "expire": 0, "groups": [], "tokens": {}}},
        "passwords": {},
        "token_values": {},
        "groups": {},
        "roles": {},
        "acl": {},
        "pools": {},
        "storages": {},
        "volumes": {},
        "vms": {},
        "started": {},  # vmid -> [pid, seconds since the epoch]
        "jobs": {},
        "options": {},
        "firewall": {},
        "tasks": [],
        "next_pid": 1000,
    }


class State:
    """`data` is changed under `lock`; `changed()` makes a change durable before anybody is told of it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "state.json"
        self.lock = threading.RLock()
        self.is_new = not self.path.exists()
        self.data: dict[str, Any] = _empty() if self.is_new else json.loads(self.path.read_text(encoding="utf-8"))
        if self.data["format"] != FORMAT:
            raise SystemExit(
                f"{self.path} has format {self.data['format']}, this simulator writes {FORMAT}: remove it."
            )
        self.after_save: Callable[[], None] = lambda: None

    def __getitem__(self, key: str) -> Any:
        return self.data[key]

    def save(self) -> None:
        with self.lock:
            text = json.dumps(self.data)
            fresh = self.path.with_suffix(".new")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self.after_save()

    @contextlib.contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """Change the data and save it; nothing is saved when the body raises, so raise before you change."""
        with self.lock:
            yield self.data
            self.save()
