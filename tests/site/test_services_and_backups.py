"""Services are real and backups are made on the lab, and all of it is proven by reading alone."""

from __future__ import annotations

from typing import Any

import pytest

from harness import lab
from harness.verify.clauses import load_clauses
from tests.site.administrator import as_root, finish_task
from tests.site.driver import ROOT, Site
from tests.site.faults import messages

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def whole(site: Site) -> dict[str, Any]:
    """One verification of everything, with nothing but reading on the hypervisor's own count."""
    lab.control({"op": "reset-counters"})
    status, result = site.verify()
    assert status == 0, [clause for clause in result["clauses"] if clause["verdict"] in {"fail", "unknown"}]
    return result


def test_verify_asks_the_api_to_read_and_nothing_else(whole: dict[str, Any]) -> None:
    calls = lab.control({"op": "counters"})["result"]["calls"]
    assert whole["api_calls"] == sum(calls.values())
    assert [call for call in calls if not call.startswith("GET ")] == []


def test_verify_asks_no_question_twice_and_few_for_each_guest(whole: dict[str, Any]) -> None:
    calls = lab.control({"op": "counters"})["result"]["calls"]
    guests = {check["guest"] for clause in whole["clauses"] for check in clause["checks"]} - {None}
    assert {call: times for call, times in calls.items() if times > 1 and "id}" not in call} == {}
    assert whole["api_calls"] <= 15 + 3 * len(guests)


def test_every_promise_is_asserted_from_all_the_places_its_clause_names(whole: dict[str, Any]) -> None:
    """What is written as a clause's evidence is really read; where hardware or a drill is missing, it cannot be."""
    clauses = load_clauses(ROOT / "specs/clauses.yml").by_id
    assert {clause["id"] for clause in whole["clauses"]} == set(clauses)
    unread = {
        clause["id"]: lacking
        for clause in whole["clauses"]
        if (lacking := set(clauses[clause["id"]].evidence) - sources(clause))
    }
    assert unread == {}


def sources(clause: dict[str, Any]) -> set[str]:
    return {fact["source"] for check in clause["checks"] for fact in check["evidence"]}


def test_a_service_that_is_not_healthy_is_named_with_what_is_wrong(site: Site) -> None:
    site.run("factory-vm01", "sudo systemctl stop lighttpd")
    site.run("bootstrap-vm01", "sudo systemctl disable --quiet lighttpd")
    site.run("inventory-vm01", "sudo mv /var/www/html/healthz /root/")
    try:
        status, result = site.verify()
    finally:
        site.run("factory-vm01", "sudo systemctl start lighttpd")
        site.run("bootstrap-vm01", "sudo systemctl enable --quiet lighttpd")
        site.run("inventory-vm01", "sudo mv /root/healthz /var/www/html/")
    broken = messages(result)
    guests = [guest for guest in lab.status().guests if guest.status == "running"]
    assert result["ssh_trips"] == len(guests) + 2, "one for each host, as soon as one run was before"
    assert (status, set(broken)) == (1, {"service.healthy"})
    for words in (
        "lighttpd.service on factory-vm01: expected active, seen inactive (dead). Declared at inventory/lab/group_v",
        "listening ports of lighttpd.service on factory-vm01: expected tcp 80, seen none",
        "start of lighttpd.service with bootstrap-vm01: expected enabled, seen disabled",
        "inventory-vm01 at http://inventory-vm01.lab.deevnet.net/healthz: expected 200 OK, seen 404 Not Found",
    ):
        assert words in broken["service.healthy"]


def test_the_job_of_the_night_leaves_everything_proven(site: Site) -> None:
    """As the node itself runs it: one task for all VMs of the pool."""
    job = {"pool": "mgmt", "storage": "local", "mode": "snapshot", "compress": "zstd"}
    finish_task(as_root("POST", "/nodes/hv01/vzdump", **job))
    status, result = site.verify("--clause=backup")
    assert status == 0, result["clauses"]
    assert {clause["id"]: clause["verdict"] for clause in result["clauses"]} == {
        "backup.scheduled": "pass",
        "backup.recent": "pass",
        "backup.restorable": "unasserted",
    }


def test_a_backup_that_fails_after_a_good_one_is_told(site: Site) -> None:
    lab.control({"op": "fault", "kind": "task-fail", "task": "vzdump", "text": "job errors"})
    ended = site.invoke("backup.now", "--guest=logs-vm01")
    assert ended.status == 2, ended.said
    status, result = site.verify("--clause=backup.recent")
    assert status == 1
    assert "whether the last backup of logs-vm01 succeeded" in messages(result)["backup.recent"]
    assert "Next: ./invoke backup.now --site lab --guest logs-vm01" in messages(result)["backup.recent"]


def test_a_view_of_the_contract_asks_for_no_more_than_it_shows(site: Site) -> None:
    status, result = site.verify("--profile=tenant-separation", "-m", "not host and not drill")
    assert status == 0, result["clauses"]
    assert result["profile"] == "tenant-separation"
    assert "separation.no-tenants" in {clause["id"] for clause in result["clauses"]}
    assert "hardware.memory" not in {clause["id"] for clause in result["clauses"]}
