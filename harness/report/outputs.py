"""Write one run in every form that was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.report.background import Background
from harness.report.files import write_whole
from harness.report.html import render_html
from harness.report.junit import render_junit
from harness.report.model import Report, render_json
from harness.report.prometheus import render_prometheus
from harness.report.tap import render_tap

# The option of each form, and what it is.
KINDS = {
    "json": "the result as JSON",
    "html": "the report",
    "junit": "JUnit XML",
    "tap": "TAP 14",
    "prom": "a Prometheus textfile",
}


def write(report: Report, files: Mapping[str, Path], look_back: Callable[[], Background]) -> None:
    """Each file whole; earlier runs are only read where somebody sees them."""
    for kind, file in files.items():
        write_whole(file, render(report, kind, look_back))


def render(report: Report, kind: str, look_back: Callable[[], Background]) -> str:
    if kind == "html":
        return render_html(report, look_back())
    texts: dict[str, Callable[[Report], str]] = {
        "json": render_json_text,
        "junit": render_junit,
        "tap": render_tap,
        "prom": render_prometheus,
    }
    return texts[kind](report)


def render_json_text(report: Report) -> str:
    return json.dumps(render_json(report), indent=2, ensure_ascii=False) + "\n"
