"""One script, many answers: each with its own status, output and evidence, whatever the output looks like."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from harness.errors import Refused, TimedOut
from harness.evidence import Evidence, Fact
from harness.remote.ssh import Result
from harness.verify.batch import Answers, new_mark, parse_batch, render_batch, sort_answers

COMMANDS = {
    "plain": "echo one; echo two",
    "empty": "true",
    "no-newline": "printf abc",
    "fails": "echo why >&2; exit 3",
    "leaves-early": "cd / && exit 0",
    "reads-input": "cat",
    "looks-like-a-frame": "echo 'mgmt-x end 0'",
    "missing": "no-such-program-here",
}


def sh(script: str) -> Result:
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True, input="never read\n", check=False)
    return Result(ended.returncode, ended.stdout, ended.stderr)


def take(commands: dict[str, str], run: Callable[[str], Result] = sh) -> tuple[Answers, Evidence, list[Fact]]:
    evidence, noted, mark = Evidence(), list[Fact](), new_mark()
    said = parse_batch(run(render_batch(commands, mark)).stdout, mark)
    return sort_answers("hv01", commands, said, source="host", evidence=evidence, note=noted.append), evidence, noted


def test_every_command_has_its_own_answer() -> None:
    answers, _, _ = take(COMMANDS)
    said = {name: (answer.rc, answer.output) for name, answer in answers.by_name.items()}
    assert said["plain"] == (0, "one\ntwo")
    assert said["empty"] == (0, "")
    assert said["no-newline"] == (0, "abc")
    assert said["fails"] == (3, "why")
    assert said["leaves-early"] == (0, "")
    assert said["reads-input"] == (0, "")
    assert said["looks-like-a-frame"] == (0, "mgmt-x end 0")
    assert said["missing"][0] == 127


def test_each_answer_is_a_fact_of_its_own_and_counts_when_it_is_read() -> None:
    answers, evidence, noted = take({"plain": "echo one", "fails": "exit 3"})
    assert [(fact.source, fact.asked, fact.answered) for fact in evidence.facts] == [
        ("host", "hv01: echo one", "one"),
        ("host", "hv01: exit 3", "(ended with 3) "),
    ]
    assert noted == []
    assert answers.text("plain") == "one"
    assert [fact.asked for fact in noted] == ["hv01: echo one"]


def test_a_command_that_must_succeed_and_does_not_is_no_answer() -> None:
    answers, _, _ = take({"fails": "echo why; exit 3"})
    with pytest.raises(Refused, match=r"`echo why; exit 3` on hv01: it ended with 3: why"):
        answers.text("fails")
    assert answers.answer("fails").rc == 3


def test_an_answer_that_was_cut_off_is_no_answer() -> None:
    def cut(script: str) -> Result:
        whole = sh(script)
        return Result(0, whole.stdout[: whole.stdout.index("second-said")], "")

    with pytest.raises(TimedOut, match="the answer ends before second"):
        take({"first": "echo 1", "second": "echo second-said"}, cut)


def test_frames_carry_a_mark_nobody_can_guess() -> None:
    script = render_batch({"a": "echo x"}, "mgmt-1")
    assert parse_batch(sh(script).stdout, "mgmt-1") == {"a": (0, "x")}
    assert parse_batch(sh(script).stdout, "mgmt-2") == {}
