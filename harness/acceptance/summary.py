"""Say what an acceptance run came to: for programs as JSON, for the page of a CI job as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.acceptance.running import Done

SUMMARY_JSON, SUMMARY_MD = "summary.json", "summary.md"
WORDS = {0: "accepted", 1: "a promise is broken", 2: "no verdict"}


def exit_status(done: Sequence[Done]) -> int:
    """2 wins over 1: a verdict with holes in it is no verdict."""
    return max((one.status for one in done), default=2)


def write_summary(
    folder: Path, site: str, done: Sequence[Done], notes: Sequence[str], *, has_ended: bool = True
) -> None:
    """`notes` are the artefacts that could not be kept, and why."""
    told = render(site, done, notes, has_ended=has_ended)
    (folder / SUMMARY_JSON).write_text(json.dumps(told, indent=2) + "\n")
    (folder / SUMMARY_MD).write_text(render_markdown(site, done, notes))


def render(site: str, done: Sequence[Done], notes: Sequence[str], *, has_ended: bool) -> dict[str, Any]:
    """The run as JSON's own types."""
    return {
        "site": site,
        "ended": datetime.now(UTC).isoformat(timespec="seconds") if has_ended else None,
        "status": exit_status(done),
        "seconds": round(sum(one.seconds for one in done), 1),
        "stages": [
            {
                "name": one.stage.name,
                "command": one.stage.typed,
                "verdict": one.verdict,
                "status": one.status,
                "seconds": round(one.seconds, 1),
                "said": one.said,
                "log": one.log.name if one.log else None,
            }
            for one in done
        ],
        "notes": list(notes),
    }


def render_markdown(site: str, done: Sequence[Done], notes: Sequence[str]) -> str:
    rows = [f"| {one.stage.name} | {one.verdict} | {one.seconds:.1f} s | {_cell(one.said)} |" for one in done]
    lines = [
        f"## Acceptance of site {site}: {WORDS[exit_status(done)]}",
        "",
        "| stage | result | time | last words |",
        "|---|---|---|---|",
        *rows,
        "",
        *(f"- {note}" for note in notes),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
