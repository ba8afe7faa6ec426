"""Each look is taken once, its failure is remembered, and its facts belong to whoever asks."""

from __future__ import annotations

import threading

import pytest

from harness.errors import Unreachable
from harness.evidence import Evidence
from harness.verify.looks import Looks


def test_a_look_is_taken_once_and_is_evidence_of_every_check_that_asks() -> None:
    looks, taken = Looks(), []

    def look(evidence: Evidence) -> int:
        evidence.record("api", "GET /version", "8.4.1")
        taken.append(1)
        return 7

    for _ in range(3):
        looks.start_check()
        assert looks.take("version", look) == 7
        assert [fact.asked for fact in looks.used()] == ["GET /version"]
    assert len(taken) == 1


def test_a_failed_look_fails_again_without_another_wait() -> None:
    looks, taken = Looks(), []

    def look(_: Evidence) -> int:
        taken.append(1)
        raise Unreachable(tried="log in", on="x", happened="no route", do="Start it")

    for _ in range(3):
        with pytest.raises(Unreachable, match="no route"):
            looks.take("guest x", look)
    assert len(taken) == 1


def test_what_a_failed_look_did_see_is_evidence_too() -> None:
    looks = Looks()

    def look(evidence: Evidence) -> int:
        evidence.record("net", "A x", "nothing")
        raise Unreachable(tried="resolve", on="x", happened="silence", do="Look")

    with pytest.raises(Unreachable):
        looks.take("dns", look)
    assert [fact.answered for fact in looks.used()] == ["nothing"]


def test_looks_are_taken_side_by_side() -> None:
    looks, meeting = Looks(), threading.Barrier(3, timeout=5)
    tasks = [lambda at=at: looks.take(f"host {at}", lambda _: meeting.wait()) for at in range(3)]
    looks.together(tasks)  # three that wait for each other: one after the other, the barrier would break
    for at in range(3):
        assert looks.take(f"host {at}", lambda _: -1) >= 0


def test_failures_ahead_of_the_checks_wait_for_the_check_that_asks() -> None:
    looks = Looks()

    def look(_: Evidence) -> int:
        raise Unreachable(tried="log in", on="x", happened="no route", do="Start it")

    looks.together([lambda: looks.take("guest x", look)])
    with pytest.raises(Unreachable):
        looks.take("guest x", lambda _: 1)


def test_what_is_begun_ahead_is_no_evidence_of_the_check_that_runs_meanwhile() -> None:
    looks, go = Looks(), threading.Event()

    def look(evidence: Evidence) -> int:
        evidence.record("guest", "x: uptime", "1")
        return 7

    def slow(evidence: Evidence) -> int:
        assert go.wait(5)
        return look(evidence)

    looks.start_check()
    looks.ahead([lambda: looks.take("quick", look), lambda: looks.take("slow", slow)])
    assert looks.take("quick", look) == 7  # nobody waits for the slow one
    assert [fact.asked for fact in looks.used()] == ["x: uptime"]
    looks.start_check()
    go.set()
    looks.settle()
    assert looks.used() == ()
    assert looks.take("slow", look) == 7


def test_looking_ahead_at_nothing_is_fine() -> None:
    Looks().together([])


def test_two_that_ask_at_once_share_one_look() -> None:
    looks, taken, go = Looks(), [], threading.Event()

    def look(_: Evidence) -> int:
        taken.append(1)
        assert go.wait(5)
        return 1

    threads = [threading.Thread(target=lambda: looks.take("k", look)) for _ in range(4)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(5)
    assert len(taken) == 1
