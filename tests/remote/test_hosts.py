"""Specs get a real testinfra host: every command recorded, limited, and its failures in our words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness import errors
from harness.evidence import Evidence
from harness.remote.hosts import open_host, runner
from harness.remote.ssh import Connections, connections
from tests.remote.machine import Machine, free_port


@pytest.fixture
def evidence() -> Evidence:
    return Evidence()


@pytest.fixture
def unreachable(machine: Machine) -> Iterator[Connections]:
    with connections([replace(machine.login, port=free_port())]) as opened:
        yield opened


def test_testinfra_looks_at_the_machine(opened: Connections, evidence: Evidence) -> None:
    host = open_host(opened, "clone", evidence=evidence, source="guest")
    assert host.file("/etc/machine-id").content_string.strip() == "0123456789abcdef0123456789abcdef"
    assert host.file("/run/throw-away-machine").exists
    assert host.user("root").uid == 0
    assert host.check_output("echo %s", "it's 100% right") == "it's 100% right"


def test_every_command_is_recorded_with_its_answer(opened: Connections, evidence: Evidence) -> None:
    host = open_host(opened, "clone", evidence=evidence, source="guest")
    host.run("echo seen; echo beside >&2; exit 255")
    (fact,) = evidence.facts
    assert (fact.source, fact.asked) == ("guest", "clone: echo seen; echo beside >&2; exit 255")
    assert fact.answered == "rc 255\nseen\nbeside"


def test_a_status_of_255_is_the_commands_own(opened: Connections, evidence: Evidence) -> None:
    assert open_host(opened, "clone", evidence=evidence, source="host").run("exit 255").rc == 255


def test_output_that_is_not_ascii_costs_no_second_command(opened: Connections, evidence: Evidence) -> None:
    host = open_host(opened, "clone", evidence=evidence, source="host")
    result = host.run("printf 'gr\\303\\274n'")
    assert (result.stdout, result.stdout_bytes) == ("grün", "grün".encode())
    assert len(evidence.facts) == 1


@pytest.mark.parametrize("sudo", [True, False])
def test_sudo_never_waits_for_a_password(opened: Connections, evidence: Evidence, *, sudo: bool) -> None:
    host = open_host(opened, "clone", evidence=evidence, source="guest", sudo=sudo)
    host.run("id -un")
    with host.sudo("nobody"):
        host.run("id -un")
    asked = [fact.asked for fact in evidence.facts]
    assert asked[0] == ("clone: sudo -n -u root /bin/sh -c 'id -un'" if sudo else "clone: id -un")
    assert "sudo -n -u nobody /bin/sh -c" in asked[1]


def test_an_unreachable_host_is_an_error_and_recorded(unreachable: Connections, evidence: Evidence) -> None:
    host = open_host(unreachable, "clone", evidence=evidence, source="guest")
    with pytest.raises(errors.Unreachable):
        _ = host.file("/etc/hostname").exists
    assert evidence.facts[-1].answered.startswith("no answer: Could not log in by SSH")


def test_a_command_that_hangs_ends_at_its_limit(opened: Connections, evidence: Evidence) -> None:
    started = time.monotonic()
    with pytest.raises(errors.TimedOut):
        open_host(opened, "clone", evidence=evidence, source="host", timeout_s=0.5).run("sleep 60")
    assert time.monotonic() - started < 5


def test_hosts_are_not_remembered_between_runs(opened: Connections, evidence: Evidence) -> None:
    first = open_host(opened, "clone", evidence=evidence, source="host")
    assert open_host(opened, "clone", evidence=evidence, source="host") is not first


def test_the_plain_runner_records_the_same(opened: Connections, evidence: Evidence) -> None:
    ask = runner(opened, "clone", evidence=evidence, source="router")
    assert ask("echo one").stdout == "one\n"
    assert [(fact.source, fact.asked, fact.answered) for fact in evidence.facts] == [
        ("router", "clone: echo one", "rc 0\none")
    ]
