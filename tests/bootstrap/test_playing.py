"""Ansible's steps are told as they happen, on a real sshd: what changed, what would, what failed and why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.bootstrap.listening import Report, Step
from harness.bootstrap.playing import Played, failure_of, play
from harness.contract import Contract
from harness.remote import ssh
from tests import sites
from tests.remote.machine import Machine, started_machine, what_is_missing

pytestmark = pytest.mark.skipif(what_is_missing() is not None, reason=str(what_is_missing()))

PLAYBOOK = """
- hosts: "{{ bootstrap_host }}"
  gather_facts: false
  tasks:
    - name: Keep a file
      ansible.builtin.copy: {content: "new\\n", dest: /etc/probe, mode: "0644"}
    - name: Only read
      ansible.builtin.command: {argv: [cat, /etc/hostname]}
      changed_when: false
      check_mode: false
    - name: Run what is missing
      ansible.builtin.command: {argv: [touch, "{{ item.path }}"], creates: null}
      loop: [{path: /run/a, text: the file a}, {path: /run/b, text: the file b}]
      loop_control: {label: "{{ item.text }}"}
    - name: Skip this
      ansible.builtin.command: {argv: ["false"]}
      when: false
    - name: Use the harness's own filters
      ansible.builtin.command: {argv: "{{ item.argv }}"}
      loop: "{{ [{'poolid': 'mgmt'}] | pool_changes('mgmt') }}"
    - name: Break
      ansible.builtin.shell: {cmd: "echo 'E: no space left' >&2; exit 3"}
      when: breaks | default(false)
    - name: Go through a hole
      block:
        - name: Fall
          ansible.builtin.command: {argv: ["false"]}
          when: falls | default(false)
      rescue:
        - name: Stand up
          ansible.builtin.command: {argv: ["true"]}
          changed_when: false
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with started_machine(tmp_path_factory.mktemp("machine")) as started:
        yield started


class Player:
    """One contract, and the playbook above, as often as asked."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        site = folder / "site"
        site.mkdir()
        (site / "hosts.yml").write_text("all: {hosts: {hv01: {ansible_user: nobody, ansible_host: 192.0.2.1}}}\n")
        self.book = folder / "book.yml"
        self.book.write_text(PLAYBOOK)
        self.contract: Contract = replace(sites.contract(), site_folder=site)
        self.login = machine.renamed("hv01")
        self.told: list[Step] = []
        self.listen: Report = self.told.append
        self.folders: list[Path] = []

    def play(self, *, check: bool = False, **variables: object) -> Played:
        with ssh.connections([self.login]) as opened:
            self.folders.append(opened.directory)
            return play(
                self.contract,
                opened,
                self.login,
                {"bootstrap_host": "hv01", **variables},
                check=check,
                report=self.listen,
                playbook=self.book,
            )


@pytest.fixture
def player(machine: Machine, tmp_path: Path) -> Player:
    return Player(machine, tmp_path)


def outcomes(played: Played) -> list[tuple[str, str, str]]:
    return [(step.task, step.outcome, step.detail) for step in played.steps]


def test_check_tells_what_would_change_and_changes_nothing(player: Player) -> None:
    played = player.play(check=True)
    assert [(step.task, step.detail) for step in played.drift] == [
        ("Keep a file", ""),
        ("Run what is missing", "the file a"),
        ("Run what is missing", "the file b"),
    ]
    assert "+new" in played.drift[0].diff
    again = player.play(check=True)
    assert [step.task for step in again.drift] == [step.task for step in played.drift]
    assert failure_of(player.contract, played) is None


def test_a_run_tells_each_step_and_counts_as_ansible_does(player: Player) -> None:
    played = player.play()
    assert ("Run what is missing", "changed", "the file b") in outcomes(played)
    assert ("Only read", "ok", "") in outcomes(played)
    assert ("Skip this", "skipped", "") in outcomes(played)
    (figures,) = played.hosts
    assert (figures.host, figures.failed, figures.changed) == ("hv01", 0, 2)
    begun = [step.task for step in player.told if step.outcome == "begin"]
    assert begun[:3] == ["Keep a file", "Only read", "Run what is missing"]


def test_a_failed_task_becomes_one_sentence(player: Player) -> None:
    played = player.play(breaks=True)
    error = failure_of(player.contract, played)
    assert error is not None
    assert str(error) == (
        "Could not break on hv01: no space left."
        " Mend what it says on the hypervisor, then run ./invoke bootstrap again."
    )
    assert played.hosts[0].failed == 1


def test_what_a_rescue_mended_is_no_failure(player: Player) -> None:
    played = player.play(falls=True)
    assert failure_of(player.contract, played) is None
    assert ("Stand up", "ok", "") in outcomes(played)


def test_a_host_that_is_gone_is_said_so(player: Player) -> None:
    player.login = replace(player.login, port=1)
    error = failure_of(player.contract, player.play())
    assert error is not None
    assert "on hv01: " in str(error)
    assert "Connection refused" in str(error)


def test_a_playbook_that_cannot_begin_is_said_so(player: Player) -> None:
    player.book.write_text("- hosts: hv01\n  tasks: [{no_such_module: }]\n")
    error = failure_of(player.contract, player.play())
    assert error is not None
    assert "start the playbook" in str(error)
    assert "no_such_module" in str(error)


def test_nothing_of_it_stays_and_the_environment_does_not_come_in(
    player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PVE_TOKEN", "0a1b2c3d-secret")
    before = dict(os.environ)
    seen: list[str] = []

    def read(_: Step) -> None:
        files = [one for one in player.folders[-1].rglob("*") if one.is_file()]
        seen.extend(one.read_text(errors="replace") for one in files)
        assert all(one.stat().st_mode & 0o077 == 0 for one in player.folders[-1].glob("ansible"))

    player.listen = read
    player.play()
    assert any("ansible-playbook" in text for text in seen), "the run's own files were not looked at"
    assert not any("0a1b2c3d-secret" in text for text in seen)
    assert not player.folders[-1].exists()
    assert dict(os.environ) == before
