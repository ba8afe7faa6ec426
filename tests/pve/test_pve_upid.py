"""A task is followed to its end: success, warnings as warnings, and a failure with what its log says."""

from __future__ import annotations

import time

import pytest

from harness.errors import Invalid, TaskFailed, TimedOut
from harness.pve.client import connect
from harness.pve.upid import TaskEnd, parse_upid, read_log, wait_task
from tests.pve.served import SECRET, Answer, Served

CLONE = "UPID:hv01:000023C5:000AC603:6B027B3E:qmclone:120:root@pam:"
START = "UPID:hv01:00001932:000A2ABC:6B0279B0:qmstart:103:prov@pve!ci:"
RUNNING = Answer({"pstart": 707031, "status": "running", "id": "121", "type": "qmclone", "upid": CLONE, "pid": 9502})


def stopped(exit_status: str) -> Answer:
    return Answer({"status": "stopped", "exitstatus": exit_status, "upid": CLONE, "type": "qmclone", "node": "hv01"})


def log(*lines: str) -> Answer:
    return Answer([{"n": number, "t": line} for number, line in enumerate(lines, 1)])


def wait(served: Served, *states: Answer, log_lines: tuple[str, ...] = (), deadline_s: float = 5.0) -> TaskEnd:
    served.say(f"GET /nodes/hv01/tasks/{CLONE}/status", *states)
    served.say(f"GET /nodes/hv01/tasks/{CLONE}/log", log(*log_lines))
    client = connect(served.api(), purpose="verify", secret=SECRET, read_only=True)
    return wait_task(client, parse_upid(CLONE), deadline_s=deadline_s, tried="clone", on="metrics-vm01")


def test_reads_a_upid() -> None:
    upid = parse_upid(START)
    assert (upid.node, upid.pid, upid.type, upid.id, upid.user) == ("hv01", 0x1932, "qmstart", "103", "prov@pve!ci")
    assert upid.started_at == 1795324336
    assert str(upid) == START


def test_a_task_without_an_id_is_one_too() -> None:
    assert parse_upid("UPID:hv01:00002FC4:000B3DB4:6B027C70:startall::root@pam:").id == ""


@pytest.mark.parametrize("text", [None, "OK", "notaupid", CLONE[:-1], f" {CLONE}", {"data": 1}])
def test_what_is_no_upid_is_refused(text: object) -> None:
    with pytest.raises(Invalid, match="not a UPID"):
        parse_upid(text)


def test_waits_for_success(served: Served) -> None:
    end = wait(served, RUNNING, RUNNING, stopped("OK"))
    assert (end.upid.text, end.warnings) == (CLONE, ())
    assert served.times(f"GET /nodes/hv01/tasks/{CLONE}/status") == 3


def test_warnings_are_a_success_with_something_to_say(served: Served) -> None:
    lines = ("WARN: no efidisk configured! Using temporary efivars disk.", "TASK WARNINGS: 1")
    assert wait(served, stopped("WARNINGS: 1"), log_lines=lines).warnings == lines[:1]


def test_a_failure_tells_status_log_and_upid_within_a_second(served: Served) -> None:
    lines = (
        "one",
        "two",
        "three",
        "bridge 'vmbr77' does not exist",
        "kvm: -netdev: could not",
        "TASK ERROR: start failed",
    )
    began = time.monotonic()
    with pytest.raises(TaskFailed) as caught:
        wait(served, RUNNING, stopped("start failed: QEMU exited with code 1"), log_lines=lines)
    assert time.monotonic() - began < 1.0
    assert caught.value.log_tail == lines[-5:]
    assert caught.value.exit_status_text == "start failed: QEMU exited with code 1"
    for words in (CLONE, "bridge 'vmbr77' does not exist", "start failed: QEMU exited with code 1"):
        assert words in str(caught.value)


def test_a_full_storage_is_named_as_what_to_do(served: Served) -> None:
    text = "clone failed: lvcreate 'pve/vm-130-disk-0' error: No space left on device"
    with pytest.raises(TaskFailed) as caught:
        wait(served, stopped(text), log_lines=(f"TASK ERROR: {text}",))
    assert caught.value.do.startswith("Free space on the storage")


def test_unexpected_status_is_doubted_once(served: Served) -> None:
    """PVE shows it for a moment while it writes a task's last line."""
    assert wait(served, stopped("unexpected status"), stopped("OK")).warnings == ()


def test_unexpected_status_twice_is_a_killed_task(served: Served) -> None:
    with pytest.raises(TaskFailed, match="killed on the node"):
        wait(served, stopped("unexpected status"))


def test_a_task_that_does_not_end_is_left_running_and_named(served: Served) -> None:
    with pytest.raises(TimedOut, match=r"has not ended.*last seen: running") as caught:
        wait(served, RUNNING, deadline_s=0.3)
    assert CLONE in str(caught.value)


def test_a_lost_look_at_a_task_does_not_lose_the_task(served: Served) -> None:
    assert (
        wait(served, Answer(cut="before"), Answer(status=596, reason="Broken pipe"), stopped("OK")).upid.text == CLONE
    )


def test_interrupting_passes_through(served: Served) -> None:
    served.say(f"GET /nodes/hv01/tasks/{CLONE}/status", RUNNING)
    client = connect(served.api(), purpose="verify", secret=SECRET, read_only=True)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_task(client, parse_upid(CLONE), deadline_s=5, tried="clone", on="x", check=interrupt)


def test_an_unknown_tasks_log_is_an_object(served: Served) -> None:
    served.say(f"GET /nodes/hv01/tasks/{CLONE}/log", Answer({"t": "unable to open file", "n": 1}))
    client = connect(served.api(), purpose="verify", secret=SECRET, read_only=True)
    assert read_log(client, parse_upid(CLONE)) == ("unable to open file",)
