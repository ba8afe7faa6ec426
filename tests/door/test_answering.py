"""What Ansible is told of a host is what the engine's plan and run say of its guest."""

from __future__ import annotations

import json

from harness.ansible.answering import answer_of_failure, answers_of_plan, answers_of_run
from harness.engine.events import GuestResult, Provisioned
from harness.errors import Unsafe
from harness.plan import Change, Plan
from harness.plan.changes import CloneChoice, Difference
from tests import sites

METRICS, LOGS, ALERTING = (sites.guest(f"{name}-vm01", at) for at, name in enumerate(("metrics", "logs", "alerting")))
CONTRACT = sites.contract(METRICS, LOGS, ALERTING)
CLONE = CloneChoice("debian-lab-12", 9000, "linked", "local-lvm", False, "thin", 4 << 30, "notes")
CREATE = Change("metrics-vm01", 130, "create", str(CLONE), CLONE)
FINISH = Change("logs-vm01", 131, "finish", "half made by an earlier run (stopped)", None)
DIFFERS = Difference("alerting-vm01", "cores", "2", "4")
PLAN = Plan((CREATE, FINISH), (DIFFERS,), (), ("the storage is nearly full",))


def run(*results: GuestResult, plan: Plan = PLAN) -> Provisioned:
    return Provisioned(plan, results, (), 3, 1.0)


def test_changed_is_who_is_in_the_plan() -> None:
    answers = answers_of_plan(CONTRACT, PLAN)
    assert {name: answer["changed"] for name, answer in answers.items()} == {
        "metrics-vm01": True,
        "logs-vm01": True,
        "alerting-vm01": False,
    }
    assert [answer["kind"] for answer in answers.values()] == ["create", "finish", None]


def test_the_diff_of_a_new_vm_is_the_whole_vm() -> None:
    diff = answers_of_plan(CONTRACT, PLAN)["metrics-vm01"]["diff"]
    assert diff["before"] == ""
    assert diff["after"].splitlines() == [
        "vmid: 130",
        "name: metrics-vm01",
        "clone: 'linked clone of debian-lab-12 (9000): thin'",
        "memory: 1024",
        "cores: 2",
        "net0: virtio=02:de:99:01:01:00,bridge=vmbr0",
        "address: 198.18.99.30",
        "onboot: true",
        "startup: order=10,up=15",
        "protection: true",
        "tags: mgmt-harness;observability",
        "state: running",
    ]
    assert diff["after_header"] == "metrics-vm01 (VM 130 on hv01)"


def test_the_diff_of_a_half_made_vm_is_its_state() -> None:
    diff = answers_of_plan(CONTRACT, PLAN)["logs-vm01"]["diff"]
    assert diff["before"] == "state: half made by an earlier run (stopped)\n"
    assert diff["after"] == "state: finished, running and proven\n"


def test_what_differs_is_told_and_is_no_change() -> None:
    answer = answers_of_plan(CONTRACT, PLAN)["alerting-vm01"]
    assert "diff" not in answer
    assert answer["differences"] == ["alerting-vm01: cores should be 2, is 4"]
    assert answer["warnings"] == [
        "the storage is nearly full",
        "differs, left alone: alerting-vm01: cores should be 2, is 4",
    ]


def test_a_run_tells_how_each_was_made() -> None:
    made = GuestResult("metrics-vm01", 130, "created", seconds={"clone": 1.0, "start": 0.5}, upids=["UPID:1"])
    made.warnings.append("the task warned")
    answer = answers_of_run(CONTRACT, run(made))["metrics-vm01"]
    assert (answer["changed"], answer["outcome"], answer["msg"]) == (True, "created", "VM 130: created in 1.5 s")
    assert answer["warnings"] == ["the storage is nearly full", "the task warned"]
    assert "failed" not in answer


def test_a_first_backup_is_a_change_of_a_guest_that_is_there() -> None:
    planned = answers_of_plan(CONTRACT, PLAN, ["alerting-vm01", "metrics-vm01"])
    assert planned["alerting-vm01"]["changed"]
    assert planned["alerting-vm01"]["msg"] == "VM 132 is there, without any backup"
    assert planned["metrics-vm01"]["kind"] == "create", "its backup comes with it"
    saved = answers_of_run(CONTRACT, run(GuestResult("alerting-vm01", 132, "saved", seconds={"backup": 0.5})))
    assert (saved["alerting-vm01"]["changed"], saved["alerting-vm01"]["msg"]) == (True, "VM 132: saved in 0.5 s")


def test_one_that_failed_says_why_and_leaves_the_others_alone() -> None:
    error = Unsafe(tried="make the guest", on="logs-vm01", happened="it is taken", do="Look")
    failed = GuestResult("logs-vm01", 131, "failed", error=error)
    answers = answers_of_run(CONTRACT, run(GuestResult("metrics-vm01", 130, "created"), failed))
    assert answers["logs-vm01"]["failed"]
    assert answers["logs-vm01"]["msg"] == "Could not make the guest on logs-vm01: it is taken. Look."
    assert not answers["logs-vm01"]["changed"], "no task was begun for it"
    assert answers["metrics-vm01"]["changed"]
    assert not answers["alerting-vm01"]["changed"]


def test_one_that_failed_half_way_was_changed_all_the_same() -> None:
    failed = GuestResult("logs-vm01", 131, "failed", upids=["UPID:1"])
    answer = answers_of_run(CONTRACT, run(failed))["logs-vm01"]
    assert (answer["failed"], answer["changed"]) == (True, True)
    assert "run the same command again" in answer["msg"]


def test_a_failure_shows_no_secret() -> None:
    told = answer_of_failure(ValueError("PVEAPIToken=verify@pve!harness=12345678-secret was refused"))
    assert "12345678" not in json.dumps(told)
    assert told["msg"].startswith("The tool itself failed: ValueError: PVEAPIToken=verify@pve!harness=[hidden]")


def test_every_answer_can_be_sent() -> None:
    answers = answers_of_run(CONTRACT, run(GuestResult("metrics-vm01", 130, "created"), GuestResult("logs-vm01", 131)))
    assert json.loads(json.dumps(answers)) == answers
