"""Turn what ansible-runner tells of a run into steps, each with what it changed or what went wrong."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.evidence import hide_secrets

_NOT_RUN = "Command would have run if not in check mode"
_NO_REASON = "non-zero return code"
_GOODBYE = re.compile(r"(?:Shared c|C)onnection to \S+ closed\.")
_DIFF_LINES = 60

Outcome = Literal["begin", "ok", "changed", "drift", "skipped", "failed"]


@dataclass(frozen=True)
class Step:
    """What became of one task, or of one item of it; `drift` is what --check would change."""

    host: str
    role: str
    task: str
    outcome: Outcome
    detail: str  # the item, or what went wrong
    diff: str
    seconds: float


@dataclass(frozen=True)
class HostResult:
    """A host's figures at the end."""

    host: str
    ok: int
    changed: int
    failed: int
    skipped: int


Report = Callable[[Step], None]


@dataclass
class Listener:
    """Hears one run: `steps` without those that only began, and `stopped` where it did not even begin."""

    report: Report
    steps: list[Step] = field(default_factory=list)
    hosts: list[HostResult] = field(default_factory=list)
    stopped: str | None = None
    _started: float = field(default_factory=time.monotonic)
    _said: list[str] = field(default_factory=list)
    _loops: set[str] = field(default_factory=set)

    def hear(self, event: dict[str, Any]) -> bool:
        kind, data = event.get("event", ""), event.get("event_data") or {}
        if kind == "playbook_on_task_start":
            self.report(self._step(data, "begin"))
        elif kind == "playbook_on_stats":
            self.hosts += [_host_result(host, data) for host in _hosts(data)]
        elif kind in {"runner_on_failed", "runner_on_unreachable", "runner_item_on_failed"}:
            self._failed(kind, data)
        elif kind in {"runner_on_ok", "runner_on_skipped", "runner_item_on_ok", "runner_item_on_skipped"}:
            self._ended(kind, data)
        elif kind in {"verbose", "warning", "error"}:
            self._said.append(event.get("stdout") or "")
        return False  # keep no file of the event

    def words(self) -> str:
        """What Ansible says when it cannot begin."""
        lines = [line.strip() for text in self._said for line in text.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("[ERROR]", "ERROR!"))]
        return hide_secrets(" ".join(errors or lines[-2:]))

    def _ended(self, kind: str, data: Mapping[str, Any]) -> None:
        result = data.get("res") or {}
        if self._items_told(kind, data):
            return
        outcome: Outcome = "changed" if result.get("changed") else "ok"
        if kind.endswith("skipped"):
            outcome = "drift" if _would_run(kind, result) else "skipped"
        self._keep(self._step(data, outcome, detail=_item(result), diff=_diff(result.get("diff"))))

    def _failed(self, kind: str, data: Mapping[str, Any]) -> None:
        result = data.get("res") or {}
        if data.get("ignore_errors") or self._items_told(kind, data):
            return
        item, words = _item(result), words_of(result)
        self._keep(self._step(data, "failed", detail=f"{item}: {words}" if item else words))

    def _items_told(self, kind: str, data: Mapping[str, Any]) -> bool:
        """A loop ends with an event of its own, after those of its items."""
        task = str(data.get("task_uuid"))
        if kind.startswith("runner_item_"):
            self._loops.add(task)
            return False
        return task in self._loops

    def _keep(self, step: Step) -> None:
        self.steps.append(step)
        self.report(step)

    def _step(self, data: Mapping[str, Any], outcome: Outcome, *, detail: str = "", diff: str = "") -> Step:
        return Step(
            host=str(data.get("host", "")),
            role=str(data.get("role", "")),
            task=str(data.get("task", "")),
            outcome=outcome,
            detail=hide_secrets(detail),
            diff=hide_secrets(diff),
            seconds=time.monotonic() - self._started,
        )


def _item(result: Mapping[str, Any]) -> str:
    label = result.get("_ansible_item_label")
    return str(label) if isinstance(label, str) else ""


def _would_run(kind: str, result: Mapping[str, Any]) -> bool:
    """A command that --check kept back: `command` says so, an item of `raw` has none of the reasons not to be due."""
    if result.get("msg"):
        return str(result["msg"]).startswith(_NOT_RUN)
    return kind.startswith("runner_item_") and not {"skip_reason", "false_condition"} & result.keys()


def words_of(result: Mapping[str, Any]) -> str:
    """What a failed task said, in one line: apt's error lines, or the last words, or Ansible's message."""
    told = _words(result, "stderr")
    if not told and result.get("msg") == _NO_REASON:  # `raw` has a terminal, where both streams are one
        told = _words(result, "stdout")
    chosen = [line.removeprefix("E: ") for line in told if line.startswith("E:")] or told[-2:]
    return " ".join(chosen) or " ".join(str(result.get("msg") or "no reason given").split())


def _words(result: Mapping[str, Any], stream: str) -> list[str]:
    """The lines of one stream, without what ssh says when a terminal's connection is over."""
    lines = (line.strip() for line in str(result.get(stream) or "").splitlines())
    return [line for line in lines if line and not _GOODBYE.fullmatch(line)]


def _hosts(stats: Mapping[str, Any]) -> list[str]:
    kinds = ("ok", "changed", "failures", "dark", "skipped", "processed")
    return sorted({host for kind in kinds for host in stats.get(kind) or {}})


def _host_result(host: str, stats: Mapping[str, Any]) -> HostResult:
    def count(kind: str) -> int:
        return int((stats.get(kind) or {}).get(host, 0))

    return HostResult(host, count("ok"), count("changed"), count("failures") + count("dark"), count("skipped"))


def _diff(said: Any) -> str:
    """Ansible's before and after as a unified diff."""
    parts = said if isinstance(said, list) else [said] if said else []
    lines = [line for part in parts for line in _diff_lines(part)]
    cut = [f"… {len(lines) - _DIFF_LINES} more lines"] if len(lines) > _DIFF_LINES else []
    return "\n".join(lines[:_DIFF_LINES] + cut)


def _diff_lines(part: Mapping[str, Any]) -> list[str]:
    if part.get("prepared"):
        return str(part["prepared"]).splitlines()
    before, after = part.get("before"), part.get("after")
    if not isinstance(before, str) or not isinstance(after, str):
        return [
            f"{key}: {value!r} -> {(after or {}).get(key)!r}" for key, value in (before or {}).items() if key != "path"
        ]
    header = str(part.get("after_header") or part.get("before_header") or "")
    name = header.replace(" (content)", "")
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), name, name, lineterm="", n=1))
