"""Show what stands in the way of bootstrap and provision, all of it at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from harness.commands.front import front
from harness.errors import Invalid
from harness.preflight import Before, Preflight, Result
from harness.preflight import preflight as look
from harness.printing import console
from harness.site import open_contract

STYLES = {"failed": "bold red", "unknown": "bold red", "waived": "yellow", "note": "yellow", "absent": "dim"}


@front
def preflight(inventory: Path, site: str, before: str, *, as_json: bool) -> int:
    """0 when nothing stands in the way, 2 when something does or could not be looked at."""
    found = look(open_contract(inventory, site), _before(before))
    if as_json:
        print(json.dumps(render_preflight(found), indent=2, ensure_ascii=False))
    else:
        show_preflight(found, console())
    return 0 if found.ready else 2


def show_preflight(found: Preflight, out: Console) -> None:
    """What holds in one line each, what does not in one sentence for each failure."""
    for result in found.results:
        needs = next((f" (needs {one.because})" for one in result.findings if one.because), "")
        out.print(f"{result.state:<8}{result.id}: {result.title}{needs}", style=STYLES.get(result.state), markup=False)
        for finding in result.findings:
            if finding.state != "ok" and not finding.because:
                out.print(f"        {finding}", style=STYLES.get(finding.state), markup=False)
    out.print(_summary(found), markup=False)


def render_preflight(found: Preflight) -> dict[str, Any]:
    """The same as JSON's own types; `do` is empty where nothing needs to be done."""
    return {
        "site": found.site,
        "before": found.before,
        "ready": found.ready,
        "seconds": round(found.seconds, 3),
        "checks": [_render_result(result) for result in found.results],
    }


def _render_result(result: Result) -> dict[str, Any]:
    findings = [asdict(one) for one in result.findings]
    return {"id": result.id, "title": result.title, "state": result.state, "findings": findings}


def _summary(found: Preflight) -> str:
    count = len(found.results)
    if found.ready:
        return (
            f"Site {found.site}: {count} checks, nothing stands in the way of {found.before} ({found.seconds:.1f} s)."
        )
    in_the_way = f"{len(found.reasons)} stand in the way: {', '.join(result.id for result in found.reasons)}"
    hidden = len(found.stopping) - len(found.reasons)
    and_more = f"; {hidden} more could not be looked at because of them" if hidden else ""
    return f"Site {found.site}: {count} checks, {in_the_way}{and_more} ({found.seconds:.1f} s)."


def _before(text: str) -> Before:
    for known in get_args(Before):
        if text == known:
            chosen: Before = known
            return chosen
    do = f"Choose one of {', '.join(get_args(Before))}"
    raise Invalid(tried="run a preflight", on="this request", happened=f"--before {text!r} is unknown", do=do)
