"""ansible-playbook in front of a simulated hypervisor: what it shows, refuses and keeps to itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import Unsafe
from harness.locking import site_lock
from harness.wait import wait_until
from tests.door.loop import NAMES, Loop
from tests.door.playing import ROOT, Played, argv, environment, play, read
from tests.simulators import SECRETS

EACH = dict.fromkeys(NAMES, 1)
OBSERVABILITY = ("alerting-vm01", "dashboards-vm01", "logs-vm01", "metrics-vm01")


def sentence(played: Played) -> str:
    """The only one, of however many hosts."""
    (found,) = played.sentences
    return found


# --- --check and --diff -----------------------------------------------------------------------------------------------


def test_check_shows_each_vm_and_writes_nothing(loop: Loop) -> None:
    played = loop.play("--check", "--diff")
    assert played.status == 0, played.said
    assert played.of_all("changed") == EACH
    assert "+net0: virtio=02:de:99:01:01:01,bridge=vmbr0" in played.diff_of("metrics-vm01")
    assert "+name: metrics-vm01" in played.diff_of("metrics-vm01")
    assert "+memory: 384" in played.diff_of("dashboards-vm01")
    assert loop.simulated.writes() == 0
    assert loop.simulated.calls()["GET /nodes/{node}/qemu"] == 1, "one plan for all of them"
    assert not loop.contract.state_dir.exists(), "not even on this machine"


def test_when_all_is_there_nothing_is_changed_or_written(loop: Loop) -> None:
    loop.make()
    played = loop.play("--diff")
    assert played.status == 0, played.said
    assert played.of_all("ok") == EACH
    assert played.of_all("changed") == {}
    assert "--- before" not in played.said
    assert loop.simulated.writes() == 0


def test_a_half_made_vm_is_a_change_and_one_that_differs_is_told(loop: Loop) -> None:
    half_made = "mgmt-harness: site=loop guest=logs-vm01 template=t build=b mode=linked\nmgmt-harness: unfinished"
    loop.make({"logs-vm01", "metrics-vm01"})
    loop.simulated.control(op="edit-config", vmid=130, set={"memory": "4096"}, delete=[])
    loop.simulated.control(op="edit-config", vmid=131, set={"description": half_made}, delete=[])
    played = loop.play("--check", "--diff", "-v", "--limit=logs-vm01,metrics-vm01", COLUMNS="200")
    assert played.status == 0, played.said
    assert set(played.counts) == {"logs-vm01", "metrics-vm01"}
    assert played.of_all("changed") == {"logs-vm01": 1}
    assert "-state: half made by an earlier run (running)" in played.diff_of("logs-vm01")
    assert played.results["metrics-vm01"]["differences"] == ["metrics-vm01: memory_mib should be 512, is 4096"]
    assert "[WARNING]: differs, left alone: metrics-vm01: memory_mib should be 512, is 4096" in played.said


# --- Failing with one sentence ----------------------------------------------------------------------------------------


def test_a_foreign_vm_on_one_vmid_stops_them_all(loop: Loop) -> None:
    vms = [{"vmid": 131, "config": {"name": "win11", "memory": "512"}}]
    loop.simulated.control(op="seed", seed={"vms": vms}, directory=str(loop.simulated.folder))
    for mode in ((), ("--check",)):
        played = loop.play(*mode, "--limit=metrics-vm01,logs-vm01")
        assert played.status == 2
        assert played.of_all("failed") == {"logs-vm01": 1, "metrics-vm01": 1}
        assert "the VMID 131 declared for logs-vm01 is taken by a foreign VM (win11" in sentence(played)
        assert "nothing was changed" in sentence(played)
    assert loop.simulated.writes() == 0


def test_one_vm_that_fails_leaves_the_others_alone(loop: Loop) -> None:
    """Its address is somebody else's already: on loopback every one answers."""
    loop.make(set(NAMES) - {"jump-vm01"})
    played = loop.play()
    assert played.status == 2
    assert played.of_all("failed") == {"jump-vm01": 1}
    assert played.of_all("ok") == {name: 1 for name in NAMES if name != "jump-vm01"}
    assert "Could not make the guest on jump-vm01 (VM 138): something already has its address" in sentence(played)
    assert played.of_all("changed") == {}
    assert "POST /nodes/{node}/qemu/{vmid}/status/start" not in loop.simulated.calls()


@pytest.mark.parametrize("mode", [(), ("--check",)], ids=["run", "check"])
def test_a_host_that_is_no_guest(loop: Loop, tmp_path: Path, mode: tuple[str, ...]) -> None:
    playbook = tmp_path / "own.yml"
    playbook.write_text("- {hosts: 'hv01,logs-vm01', gather_facts: false, tasks: [{mgmt_guest: }]}\n")
    played = loop.play(*mode, playbook=playbook)
    assert played.of_all("failed") == {"hv01": 1, "logs-vm01": 1}
    assert "has no management VM named hv01. Name one of: " in sentence(played)
    assert loop.simulated.writes() == 0


def test_a_mistake_of_the_inventory(loop: Loop) -> None:
    file = loop.site / "host_vars/logs-vm01.yml"
    file.write_text(file.read_text().replace("vmid: 131", "vmid: 130"))
    said = sentence(loop.play("--check", "--limit=access"))
    assert said.startswith("Could not load the inventory on ")
    assert "vm01.yml:" in said


def test_an_option_that_does_not_exist(loop: Loop, tmp_path: Path) -> None:
    playbook = tmp_path / "own.yml"
    playbook.write_text("- {hosts: logs-vm01, gather_facts: false, tasks: [{mgmt_guest: {vmid: 131}}]}\n")
    assert "Invalid options for mgmt_guest: vmid" in loop.play(playbook=playbook).said


def test_another_python_is_told_which_to_take(loop: Loop) -> None:
    """Debian's own ansible knows nothing of what the harness needs."""
    script = "import sys; sys.modules['proxmoxer'] = None; from ansible.cli.playbook import main; main()"
    command = [
        argv(loop.site)[0].replace("ansible-playbook", "python"),
        "-c",
        script,
        *argv(loop.site, "--limit=jump-vm01")[1:],
    ]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(loop.state), capture_output=True, text=True, check=False, timeout=60
    )
    said = sentence(read(ended.returncode, ended.stdout + ended.stderr))
    assert said.startswith("Could not load the harness with ")
    assert said.endswith(f"Run {ROOT}/.venv/bin/ansible-playbook (./invoke --list makes it).")


# --- Ansible's own ways of choosing hosts -----------------------------------------------------------------------------


def test_a_condition_keeps_a_host_out_of_the_run(loop: Loop, tmp_path: Path) -> None:
    playbook = tmp_path / "own.yml"
    task = "{mgmt_guest: , when: inventory_hostname != 'logs-vm01'}"
    playbook.write_text(f"- {{hosts: management_vms, gather_facts: false, tasks: [{task}]}}\n")
    played = loop.play("--check", playbook=playbook)
    assert played.of_all("skipped") == {"logs-vm01": 1}
    assert played.of_all("changed") == {name: 1 for name in NAMES if name != "logs-vm01"}


def test_however_ansible_divides_the_hosts(loop: Loop, tmp_path: Path) -> None:
    playbook = tmp_path / "own.yml"
    ways = ("serial: 2", "throttle: 3", "strategy: free", "strategy: host_pinned")
    playbook.write_text(
        "".join(f"- {{hosts: observability, gather_facts: false, {way}, tasks: [{{mgmt_guest: }}]}}\n" for way in ways)
    )
    played = loop.play("--check", playbook=playbook)
    assert played.status == 0, played.said
    assert played.of_all("changed") == dict.fromkeys(OBSERVABILITY, len(ways))


def test_few_forks_work_in_rounds_and_say_so(loop: Loop) -> None:
    played = loop.play("--check", "--forks", "5", COLUMNS="200")
    assert played.of_all("changed") == EACH
    assert loop.simulated.calls()["GET /nodes/{node}/qemu"] == 2
    assert played.said.count("Ansible works on 5 of 10 hosts at once") == 1


def test_from_anywhere_and_from_a_playbook_of_ones_own(loop: Loop, tmp_path: Path) -> None:
    playbook = tmp_path / "own.yml"
    playbook.write_text(f"- import_playbook: {ROOT}/harness/ansible/provision.yml\n")
    played = play(loop.site, loop.state, "--check", "--limit=access", playbook=playbook, cwd=tmp_path)
    assert played.of_all("changed") == {"jump-vm01": 1, "oob-vm01": 1}, played.said
    assert loop.simulated.calls()["GET /nodes/{node}/qemu"] == 1


# --- Two at once, and interrupted -------------------------------------------------------------------------------------


def test_while_another_run_is_at_work_it_is_refused_with_who_and_since_when(loop: Loop) -> None:
    with site_lock(loop.contract.state_dir, "loop"):
        played = loop.play("--limit=access")
    assert played.of_all("failed") == {"jump-vm01": 1, "oob-vm01": 1}
    assert re.search(rf"another run is at work \(.*{os.getpid()}.*since 20\d\d-", sentence(played))
    assert loop.simulated.writes() == 0


def is_free(loop: Loop) -> bool:
    try:
        with site_lock(loop.contract.state_dir, "loop"):
            return True
    except Unsafe:
        return False


def becomes_free(loop: Loop, *, free: bool) -> bool:
    waited = wait_until(lambda: (is_free(loop) is free or None, ""), deadline_s=20, first_pause_s=0.05)
    return waited.value is not None


@contextmanager
def at_work(loop: Loop) -> Iterator[subprocess.Popen[str]]:
    """ansible-playbook in the middle of a run: the hypervisor takes its time, also for the look under the lock."""
    loop.contract.state_dir.mkdir(parents=True)
    loop.simulated.fault(kind="stall", method="GET", path="/nodes/hv01/qemu$", times=2, seconds=2)
    with subprocess.Popen(
        argv(loop.site),
        cwd=ROOT,
        env=environment(loop.state),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert becomes_free(loop, free=False)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_when_it_is_ended_nothing_of_it_goes_on(loop: Loop, number: signal.Signals) -> None:
    with at_work(loop) as process:
        process.send_signal(number)
        process.wait(20)
        assert becomes_free(loop, free=True)


# --- Secrets ----------------------------------------------------------------------------------------------------------


def test_at_its_most_talkative_it_tells_no_secret(loop: Loop) -> None:
    loop.make({"oob-vm01"})
    log = loop.state / "ansible.log"
    talk = ("-vvvvv", "--diff", "--limit=access")
    environment = {"ANSIBLE_LOG_PATH": str(log), "ANSIBLE_DISPLAY_TRACEBACK": "always"}
    told = [loop.play(*talk, **environment), loop.play(*talk, "--check", **environment)]
    assert [played.of_all("failed") for played in told] == [{"jump-vm01": 1}, {}]
    for path, fault in {"/nodes/hv01/qemu$": "drop-before", "/access/permissions$": "596"}.items():
        loop.simulated.fault(kind=fault, method="GET", path=path, times=10)
        told.append(loop.play(*talk, **environment))
        assert told[-1].of_all("failed") == {"jump-vm01": 1, "oob-vm01": 1}
    whole = log.read_text() + "".join(played.said for played in told)
    assert "TASK [Make the VM]" in log.read_text()
    assert [name for name, secret in SECRETS.items() if secret in whole] == []


def test_a_refused_token_is_not_shown_either(loop: Loop) -> None:
    wrong = "00000000-0000-4000-8000-00000000dead"
    (loop.simulated.folder / "verify.token").write_text(wrong)
    played = loop.play("-vvvvv", "--limit=access", ANSIBLE_DISPLAY_TRACEBACK="always")
    assert "401 invalid token value!" in played.said
    assert wrong not in played.said


def test_a_secret_in_ansibles_vault(loop: Loop, tmp_path: Path) -> None:
    password, value = tmp_path / "vault.password", SECRETS["verify"]
    password.write_text("sesame\n")
    vault = loop.site / "group_vars/all/vault.yml"
    vault.write_text(f"vault_verify_token: {value}\n")
    command = [argv(loop.site)[0].replace("ansible-playbook", "ansible-vault"), "encrypt", str(vault)]
    subprocess.run(
        command, env=environment(loop.state, ANSIBLE_VAULT_PASSWORD_FILE=str(password)), check=True, timeout=60
    )
    loop.refer("verify", {"vault": "vault_verify_token"})
    played = loop.play("--check", "-vvvvv", "--limit=access", ANSIBLE_VAULT_PASSWORD_FILE=str(password))
    assert played.of_all("changed") == {"jump-vm01": 1, "oob-vm01": 1}, played.said
    assert value not in played.said
