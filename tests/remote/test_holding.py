"""A lock held over SSH is free as soon as its run has ended, however it ended; real sshd, real flock."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest

from harness import errors
from harness.remote.holding import holding
from harness.wait import wait_until
from tests.remote.machine import Machine, free_port

LOCK = "/run/test.lock"
TAKE = f"exec 9>>{LOCK}; if flock -n 9; then echo held; cat >/dev/null; else echo taken; fi"


def test_it_is_held_until_it_is_left(machine: Machine) -> None:
    with holding(machine.login, TAKE) as first, holding(machine.login, TAKE) as second:
        assert (first, second) == ("held", "taken")
    with holding(machine.login, TAKE) as again:
        assert again == "held"


def test_a_killed_run_lets_go(machine: Machine) -> None:
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        with holding(machine.login, TAKE) as said:
            os.write(writing, said.encode())
            signal.pause()
    assert os.read(reading, 10) == b"held"
    with holding(machine.login, TAKE) as said:
        assert said == "taken"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert wait_until(lambda: is_free(machine), deadline_s=5).value, "still taken"


def is_free(machine: Machine) -> tuple[bool | None, str]:
    with holding(machine.login, TAKE) as said:
        return (True if said == "held" else None), said


def test_nobody_there_is_said_as_ever(machine: Machine) -> None:
    with (
        pytest.raises(errors.Unreachable, match="Connection refused"),
        holding(replace(machine.login, port=free_port()), TAKE),
    ):
        pass


def test_a_command_that_says_nothing_is_an_error(machine: Machine) -> None:
    with pytest.raises(errors.HarnessError), holding(machine.login, "true"):
        pass
