"""Processes that each want one guest share a run, whoever comes when and whoever is killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Mapping, Sequence, Set
from multiprocessing.process import BaseProcess
from pathlib import Path

from harness.ansible.joining import Answer, Party, join
from harness.wait import wait_until

FORK = multiprocessing.get_context("fork")  # as Ansible does
NAMES = [f"vm{number:02}" for number in range(10)]


def work_noted(folder: Path, names: Set[str]) -> Mapping[str, Answer]:
    """Each run leaves a file that says for whom it was."""
    number = len(list(folder.glob("run-*")))
    (folder / f"run-{number}").write_text(json.dumps(sorted(names)))
    return {name: {"run": number, "of": name} for name in names}


def runs(folder: Path) -> list[list[str]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("run-*"))]


def ask(folder: Path, name: str, party: Party, patience_s: float = 10.0) -> None:
    answer = join(folder / "joined", name, party, lambda names: work_noted(folder, names), patience_s=patience_s)
    (folder / f"{name.replace('/', '_')}.heard").write_text(json.dumps(answer))


def heard(folder: Path, name: str) -> Answer:
    answer: Answer = json.loads((folder / f"{name}.heard").read_text())
    return answer


def begin(folder: Path, names: Sequence[str], party: Party, patience_s: float = 10.0) -> list[BaseProcess]:
    processes: list[BaseProcess] = [FORK.Process(target=ask, args=(folder, name, party, patience_s)) for name in names]
    for process in processes:
        process.start()
    return processes


def end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_all_that_come_side_by_side_share_one_run(tmp_path: Path) -> None:
    end(begin(tmp_path, NAMES, Party(10, 10)))
    assert runs(tmp_path) == [NAMES]
    assert [heard(tmp_path, name) for name in NAMES] == [{"run": 0, "of": name} for name in NAMES]


def test_those_who_come_later_share_the_next(tmp_path: Path) -> None:
    """Ansible's --forks 4 for ten hosts: the last two are not waited for longer than it takes them to come."""
    for at in (0, 4, 8):
        end(begin(tmp_path, NAMES[at : at + 4], Party(10, 4)))
    assert runs(tmp_path) == [NAMES[:4], NAMES[4:8], NAMES[8:]]


def test_who_stays_away_is_not_waited_for_long_and_not_worked_for(tmp_path: Path) -> None:
    end(begin(tmp_path, NAMES[:3], Party(10, 10), patience_s=0.5))
    assert [name for names in runs(tmp_path) for name in names] == NAMES[:3]
    assert "vm03" not in str(runs(tmp_path))


def test_alone_it_begins_at_once(tmp_path: Path) -> None:
    end(begin(tmp_path, NAMES[:1], Party(1, 50), patience_s=60.0))
    assert runs(tmp_path) == [["vm00"]]


def test_who_asks_again_gets_a_new_answer(tmp_path: Path) -> None:
    for _ in range(2):
        ask(tmp_path, "vm00", Party(1, 1))
    assert heard(tmp_path, "vm00") == {"run": 1, "of": "vm00"}


def test_any_name_will_do(tmp_path: Path) -> None:
    ask(tmp_path, "../odd name/é", Party(1, 1))
    assert runs(tmp_path) == [["../odd name/é"]]
    assert {path.name for path in tmp_path.iterdir()} == {"joined", "run-0", ".._odd name_é.heard"}


def stuck(folder: Path, names: Set[str]) -> Mapping[str, Answer]:
    (folder / "stuck").touch()
    signal.pause()
    raise AssertionError(names)


def test_the_next_begins_again_when_the_one_at_work_is_killed(tmp_path: Path) -> None:
    first = FORK.Process(
        target=lambda: join(tmp_path / "joined", "vm00", Party(1, 1), lambda names: stuck(tmp_path, names))
    )
    first.start()
    assert wait_until(lambda: ((tmp_path / "stuck").exists() or None, ""), deadline_s=10).value
    others = begin(tmp_path, NAMES[1:3], Party(2, 2), patience_s=0.5)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    first.join(10)
    end(others)
    assert {name for names in runs(tmp_path) for name in names} >= {"vm01", "vm02"}
    assert [heard(tmp_path, name)["of"] for name in NAMES[1:3]] == NAMES[1:3]


def test_who_leaves_takes_the_wish_along(tmp_path: Path) -> None:
    def fail(names: Set[str]) -> Mapping[str, Answer]:
        raise KeyboardInterrupt

    try:
        join(tmp_path / "joined", "vm00", Party(1, 1), fail)
    except KeyboardInterrupt:
        ask(tmp_path, "vm01", Party(1, 1))
    assert runs(tmp_path) == [["vm01"]]
