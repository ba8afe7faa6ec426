"""The Prometheus textfile, read by Prometheus' own parser."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from harness.report.model import Report
from harness.report.prometheus import render_prometheus
from tests.report.values import WAIVER, report


def samples(value: Report) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Labels and value of each sample, by metric."""
    families = list(text_string_to_metric_families(render_prometheus(value)))
    assert all(family.type == "gauge" and family.documentation for family in families)
    return {
        family.name: {tuple(sorted(one.labels.items())): one.value for one in family.samples} for family in families
    }


def labels(**given: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"site": "lab", **given}.items()))


def test_every_clause_is_a_sample_with_its_verdict() -> None:
    found = samples(report())["mgmt_contract_clause"]
    assert found[labels(clause="network.dns", severity="major", verdict="fail")] == 1
    assert len(found) == len(report().clauses)


def test_the_run_can_be_alerted_on() -> None:
    found = samples(report())
    assert found["mgmt_contract_exit_status"] == {labels(): 2}
    assert found["mgmt_contract_checked_seconds"] == {labels(): report().started_at.timestamp()}
    assert found["mgmt_contract_clauses"][labels(verdict="unknown")] == 2
    assert found["mgmt_contract_identity_whole"][labels(guest="logs-vm01")] == 0


def test_waivers_and_drills_have_their_moments() -> None:
    found = samples(report())
    assert found["mgmt_contract_waiver_ends_seconds"] == {labels(clause="hardware.memory"): 1796169600}
    assert found["mgmt_contract_drill_last_good_seconds"] == {labels(drill="reboot"): 1794301200}


def test_a_label_may_hold_anything() -> None:
    odd = replace(report(), waivers=(replace(WAIVER, clause='a"b\\c\nd'),))
    assert labels(clause='a"b\\c\nd') in samples(odd)["mgmt_contract_waiver_ends_seconds"]
