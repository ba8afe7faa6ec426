"""Render a run as a textfile for Prometheus' node exporter: one sample a clause, what an alert needs, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time

from harness.report.model import VERDICTS, Report

Sample = tuple[Mapping[str, str], float]


def render_prometheus(report: Report) -> str:
    """Every metric has the label `site`, so that one Prometheus can hold several."""
    return "".join(
        f"# HELP {name} {said}\n# TYPE {name} gauge\n"
        + "".join(f"{name}{{{_labels({'site': report.site, **labels})}}} {value:.15g}\n" for labels, value in samples)
        for name, said, samples in _metrics(report)
        if samples
    )


def _metrics(report: Report) -> Iterator[tuple[str, str, list[Sample]]]:
    yield (
        "mgmt_contract_clause",
        "1 for the verdict that a clause of the contract has.",
        [({"clause": one.id, "severity": one.severity, "verdict": one.verdict}, 1) for one in report.clauses],
    )
    yield (
        "mgmt_contract_clauses",
        "Clauses with this verdict.",
        [({"verdict": verdict}, report.counts[verdict]) for verdict in VERDICTS],
    )
    yield "mgmt_contract_exit_status", "0 it holds, 1 a promise is broken, 2 no verdict.", [({}, report.exit_status)]
    yield "mgmt_contract_checked_seconds", "When the run started (Unix time).", [({}, report.started_at.timestamp())]
    yield "mgmt_contract_duration_seconds", "How long the run took.", [({}, round(report.seconds, 3))]
    yield "mgmt_contract_api_calls", "Requests to the hypervisor's API.", [({}, report.api_calls)]
    yield "mgmt_contract_ssh_trips", "Round trips over SSH.", [({}, report.ssh_trips)]
    yield "mgmt_contract_retries", "Requests that had to be made again.", [({}, len(report.retries))]
    yield (
        "mgmt_contract_waiver_ends_seconds",
        "The end of a waiver's last day (Unix time, UTC).",
        [({"clause": one.clause}, _end_of(one.until.isoformat())) for one in report.waivers],
    )
    yield (
        "mgmt_contract_drill_last_good_seconds",
        "When a drill was last good (Unix time).",
        [({"drill": one.name}, one.last_good.timestamp()) for one in report.drills if one.last_good],
    )
    yield (
        "mgmt_contract_identity_whole",
        "Whether every link of a VM's identity holds.",
        [({"guest": one.guest}, one.broken_at is None) for one in report.chains],
    )


def _end_of(day: str) -> float:
    return datetime.combine(datetime.fromisoformat(day), time.max, UTC).replace(microsecond=0).timestamp() + 1


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
