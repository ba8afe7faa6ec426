"""A drill is good when all it checked held, bad when something did not or stays changed, and else nothing was shown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.drills.judging import judge_end
from harness.drills.model import Drilling
from harness.drills.record import Record, read_record, write_record
from harness.drills.tools import Tools
from harness.errors import HarnessError, Refused, TimedOut, Unreachable
from tests import sites

BEGAN = datetime.now(UTC) - timedelta(minutes=1)
BEGUN = Record("rebuild", "recovery.rebuild", "lab", BEGAN, "unfinished", "it has begun", last_good=BEGAN)
SAID = {"tried": "look", "on": "hv01", "happened": "it is as it is", "do": "Look there"}


def drilling_in(folder: Path) -> Drilling:
    contract = sites.contract(state_dir=folder)
    made = Drilling(contract, Tools(contract), None, lambda _: None)
    made.check("the VM", wanted="running", seen="running")
    return made


def fails() -> None:
    raise HarnessError(**SAID)


def saw_wrong(drilling: Drilling) -> None:
    drilling.check("the VM", wanted="running", seen="stopped")


def leaves(drilling: Drilling) -> None:
    drilling.remember(guest="metrics-vm01")
    with drilling.changes("it is off", fails):
        pass


def nothing(_: Drilling) -> None:
    """It goes as it should."""


WRONG = "the VM: expected running, seen stopped"
CASES: dict[str, tuple[Callable[[Drilling], None], BaseException | None, str, str]] = {
    "all held": (nothing, None, "good", "1 check, all good"),
    "one did not": (saw_wrong, None, "bad", WRONG),
    "nobody answered": (nothing, Unreachable(**SAID), "interrupted", "it was not found out whether it holds. Could"),
    "refused": (nothing, Refused(**SAID), "interrupted", "it was not found out"),
    "wrong, and then refused": (saw_wrong, Refused(**SAID), "bad", WRONG),
    "too slow": (nothing, TimedOut(**SAID), "bad", "the drill rebuild: expected runs to its end, seen Could not look"),
    "failed": (nothing, HarnessError(**SAID), "bad", "the drill rebuild: expected runs to its end"),
    "stopped": (saw_wrong, KeyboardInterrupt(), "interrupted", "interrupted; everything is put back"),
    "a mistake of ours": (nothing, KeyError("x"), "interrupted", "interrupted; everything is put back"),
    "left something": (leaves, None, "bad", "it is off; undoing that failed, and the next drill begins with it"),
    "left something, stopped": (leaves, KeyboardInterrupt(), "bad", "it is off; undoing that failed"),
    "left something, refused": (leaves, Refused(**SAID), "bad", "it is off; undoing that failed"),
}


@pytest.mark.parametrize(("act", "stopped", "result", "message"), CASES.values(), ids=CASES)
def test_how_it_ended(
    tmp_path: Path, act: Callable[[Drilling], None], stopped: BaseException | None, result: str, message: str
) -> None:
    drilling = drilling_in(tmp_path)
    act(drilling)
    ended = judge_end(BEGUN, drilling, stopped)
    assert ended.result == result
    assert ended.message.startswith(message)
    assert (ended.last_good == BEGAN) == (result != "good")
    assert ended.undo == ({"guest": "metrics-vm01"} if drilling.left else {})
    assert bool(ended.left) == (act is leaves)
    assert not isinstance(stopped, HarnessError) or str(stopped) in [one.seen for one in ended.evidence]


def test_what_is_to_be_undone_is_on_disk_when_a_change_begins(tmp_path: Path) -> None:
    drilling = drilling_in(tmp_path)
    drilling.begin = lambda: write_record(tmp_path, BEGUN)
    with drilling.changes("it is off", lambda: None):
        assert read_record(tmp_path, "rebuild") == BEGUN
