"""A clone becomes itself once, and only once: on a real system with a real sshd, under an overlay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness import errors, probe
from harness.remote.known_hosts import HostKey, parse_key, pin
from harness.remote.personalise import Outcome, parse_outcome, render_script
from harness.remote.ssh import Connections, connections, run
from harness.wait import wait_until
from tests.remote.machine import Machine, started_machine

SCRIPT = render_script(hostname="metrics-vm01", fqdn="metrics-vm01.lab.deevnet.net")
TEMPLATE_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Machine]:
    with started_machine(tmp_path) as running:
        yield running


def personalise(opened: Connections, script: str = SCRIPT) -> Outcome:
    # The script changes the machine it runs on; it must be the one that is thrown away.
    guarded = f"test -e /run/throw-away-machine || exit 99\n{script}"
    result = run(opened, "clone", "sh -s", stdin=guarded, timeout_s=60)
    assert result.rc == 0, result
    return parse_outcome(result.stdout)


def offered(clone: Machine, wanted: Outcome) -> set[HostKey]:
    """What sshd offers once it has read itself anew; it is told to, and nobody waits for it."""

    def look() -> tuple[set[HostKey] | None, str]:
        try:
            keys = {parse_key(key) for key in probe.ssh_host_keys("127.0.0.1", clone.login.port)}
        except errors.Unreachable as error:
            return None, error.happened
        return (keys if keys & set(wanted.host_keys) else None), str(keys)

    waited = wait_until(look, deadline_s=20)
    assert waited.value, waited.last_seen
    return waited.value


def test_a_clone_becomes_itself(clone: Machine) -> None:
    with connections([clone.login]) as opened:
        outcome = personalise(opened)
        assert outcome.hostname == "metrics-vm01"
        assert outcome.machine_id != TEMPLATE_ID
        assert outcome.changed == {"hostname", "machine-id", "host-keys"}
        assert run(opened, "clone", "uname -n; cat /etc/hostname /etc/machine-id").stdout.split() == [
            "metrics-vm01",
            "metrics-vm01",
            outcome.machine_id,
        ]
        assert "127.0.1.1 metrics-vm01.lab.deevnet.net metrics-vm01\n" in run(opened, "clone", "cat /etc/hosts").stdout


def test_sshd_shows_the_new_keys_and_only_those(clone: Machine) -> None:
    with connections([clone.login]) as opened:
        outcome = personalise(opened)
    assert {key.type for key in outcome.host_keys} == {"ssh-ed25519", "ecdsa-sha2-nistp256"}
    assert clone.host_key not in outcome.host_keys
    assert offered(clone, outcome) == set(outcome.host_keys)


def test_the_new_key_is_trusted_after_it_was_pinned(clone: Machine) -> None:
    with connections([clone.login]) as opened:
        outcome = personalise(opened)
    assert offered(clone, outcome)
    with connections([clone.login]) as opened, pytest.raises(errors.Untrusted):
        run(opened, "clone", "true")
    pin(clone.login.known_hosts[0], "clone", "127.0.0.1", outcome.host_keys)
    with connections([clone.login]) as opened:
        assert run(opened, "clone", "uname -n").stdout == "metrics-vm01\n"


def test_a_second_run_changes_nothing(clone: Machine) -> None:
    with connections([clone.login]) as opened:
        first = personalise(opened)
        files = (
            "stat -c '%n %i %Y' /etc/machine-id /etc/hostname /etc/hosts /etc/ssh/ssh_host_* /var/lib/mgmt-harness/*"
        )
        before = run(opened, "clone", files).stdout
        assert personalise(opened) == replace(first, changed=frozenset())
        assert run(opened, "clone", files).stdout == before


def test_a_clone_of_a_guest_becomes_itself_too(clone: Machine) -> None:
    with connections([clone.login]) as opened:
        first = personalise(opened)
        second = personalise(opened, render_script(hostname="logs-vm01", fqdn="logs-vm01.lab.deevnet.net"))
    assert second.changed == {"hostname", "machine-id", "host-keys"}
    assert not set(second.host_keys) & set(first.host_keys)
    assert second.machine_id != first.machine_id


def test_a_run_that_was_cut_off_is_repeated(clone: Machine) -> None:
    cut = SCRIPT.replace('say "changed=hostname"', "exit 1").replace("say changed=hostname", "exit 1", 1)
    assert cut != SCRIPT
    with connections([clone.login]) as opened:
        result = run(opened, "clone", "sh -s", stdin=f"test -e /run/throw-away-machine || exit 99\n{cut}", timeout_s=60)
        assert result.rc == 1
        with pytest.raises(errors.HarnessError, match="the script ended early"):
            parse_outcome(result.stdout)
        assert {"machine-id", "host-keys"} <= personalise(opened).changed
        assert personalise(opened).changed == frozenset()


def test_key_types_that_are_no_longer_wanted_go(clone: Machine) -> None:
    with connections([clone.login]) as opened:
        run(opened, "clone", "touch /etc/ssh/ssh_host_dsa_key /etc/ssh/ssh_host_dsa_key.pub")
        personalise(opened)
        assert "dsa" not in run(opened, "clone", "ls /etc/ssh/ssh_host_*").stdout.replace("ecdsa", "")


RECORDED = """\
mgmt-harness changed=machine-id
mgmt-harness changed=host-keys
Synchronizing state of ssh.service
mgmt-harness hostname=metrics-vm01
mgmt-harness machine-id=7f0c2f3e8a2b4c0d9e1f2a3b4c5d6e7f
mgmt-harness host-key=ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJY0BlO2FtNzEx4YZJ4wOTyMm2wtWRWTFPvSaU6wxAS7
mgmt-harness done=yes
"""


@pytest.mark.parametrize("text", [RECORDED, RECORDED.replace("\n", "\r\n")])
def test_reads_the_scripts_account(text: str) -> None:
    key = parse_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJY0BlO2FtNzEx4YZJ4wOTyMm2wtWRWTFPvSaU6wxAS7")
    wanted: tuple[HostKey, ...] = (key,)
    expected = Outcome(
        "metrics-vm01", "7f0c2f3e8a2b4c0d9e1f2a3b4c5d6e7f", wanted, frozenset({"machine-id", "host-keys"})
    )
    assert parse_outcome(text) == expected


@pytest.mark.parametrize("text", ["", "sudo: a password is required", RECORDED.replace("done=yes", "")])
def test_an_account_without_its_end_is_no_outcome(text: str) -> None:
    with pytest.raises(errors.HarnessError, match=r"ended early, last words: .*running provision again"):
        parse_outcome(text)


@pytest.mark.parametrize("name", ["", "UPPER", "a;reboot", "a b", "-x", "$(id)", "a" * 64])
def test_takes_host_names_only(name: str) -> None:
    with pytest.raises(errors.Invalid, match="no host name"):
        render_script(hostname=name, fqdn="x.lab.deevnet.net")


def test_fits_into_one_agent_call() -> None:
    """PVE takes 64 KiB of input-data for agent/exec; as an argument of sh -c it has to stay well below that."""
    assert len(SCRIPT.encode()) < 8192
