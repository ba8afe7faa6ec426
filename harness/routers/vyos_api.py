"""VyOS's HTTP API: one request at a time, one list of commands is one commit, and saving is a step of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness.contract import Contract
from harness.errors import HarnessError, Refused
from harness.evidence import Evidence, Secret
from harness.routers.https import READ_LIMIT_S, WRITE_LIMIT_S, Door, Reply, open_door, require_api, secret_at
from harness.routers.vyos_config import Command

READS = ("/retrieve", "/show")
# VyOS says so where there is nothing below a path that its schema knows.
NOTHING_THERE = "Configuration under specified path is empty"
BUSY = "temporarily locked"


class Rejected(HarnessError):
    """VyOS understood and declined; `words` is what it says, and nothing was committed."""

    words: str = ""


@dataclass(frozen=True)
class VyosApi:
    """The API server has one configuration session: never use this from two threads."""

    door: Door
    key: Secret
    evidence: Evidence | None

    def config(self, *path: str) -> dict[str, Any]:
        """The configuration below a node; nothing below it is an empty one."""
        try:
            found = self._read("/retrieve", {"op": "showConfig", "path": list(path)})
        except Rejected as error:
            if NOTHING_THERE in error.words:
                return {}
            raise
        if not isinstance(found, dict):
            raise self._rejected("/retrieve", f"no configuration below {' '.join(path)} but {str(found)[:80]!r}")
        return found

    def show(self, *words: str) -> str:
        """What the command prints."""
        return str(self._read("/show", {"op": "show", "path": list(words)}))

    def commit(self, commands: Sequence[Command]) -> None:
        """All of them or none; what is committed ends with the next boot unless it is saved."""
        self._write("/configure", [{"op": command.op, "path": list(command.path)} for command in commands])

    def save(self) -> None:
        self._write("/config-file", {"op": "save"})

    def _read(self, path: str, data: Any) -> Any:
        answered = self._data(path, self.door.read("POST", path, data=self._form(data)))
        if self.evidence is not None:
            text = answered if isinstance(answered, str) else json.dumps(answered, separators=(",", ":"))
            self.evidence.record("router", f"{path} {' '.join(data['path'])}", text)
        return answered

    def _write(self, path: str, data: Any) -> None:
        self._data(path, self.door.write("POST", path, data=self._form(data)))

    def _form(self, data: Any) -> dict[str, str]:
        return {"key": self.key.reveal(), "data": json.dumps(data)}

    def _data(self, path: str, reply: Reply) -> Any:
        if reply.status == 401:
            happened = "VyOS does not accept the key of mgmt_router.api (401)"
            do = "Put the current key where mgmt_router.api.key says (`show service https api keys` on the router)"
            raise self.door.error(Refused, path, happened, do)
        if not isinstance(reply.data, dict) or "success" not in reply.data:
            raise self.door.foreign(path, reply)
        if reply.status >= 400 or not reply.data["success"]:
            raise self._rejected(path, str(reply.data.get("error") or f"status {reply.status}"))
        return reply.data.get("data")

    def _rejected(self, path: str, words: str) -> Rejected:
        do = "Correct what it names, then run the same command again"
        if BUSY in words:
            do = "Somebody else is committing there: wait for it, then run the same command again"
        said = " ".join(words.split())
        error = Rejected(
            tried=f"ask {path}", on=f"{self.door.name} ({self.door.url})", happened=f"VyOS says: {said}", do=do
        )
        error.words = said
        return error


@contextmanager
def open_api(contract: Contract, evidence: Evidence | None) -> Iterator[VyosApi]:
    """The API with the key of the inventory."""
    key = secret_at(contract, require_api(contract).key)
    door = open_door(contract, "VyOS", _limit)
    try:
        yield VyosApi(door, key, evidence)
    finally:
        door.session.close()


def _limit(_: str, url: str) -> float:
    return READ_LIMIT_S if urlsplit(url).path in READS else WRITE_LIMIT_S
