"""Specs in testinfra's words against a real sshd: what they asked last time comes in one round trip, and fresh."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Contract, Ssh
from harness.printing import Lines
from harness.report.model import Report
from harness.verify import VerifyOptions, guest_facts
from harness.verify.looks import Looks
from harness.verify.memory import FILE, Memory
from harness.verify.options import OWN_SPECS
from harness.verify.planned import begin
from harness.verify.run import take_report
from harness.verify.trips import Trips
from tests import sites
from tests.remote.machine import Machine, started_machine

CLAUSES = """\
groups: {network: Network}
clauses:
  - {id: network.dns, group: network, title: Names, promise: P, evidence: [net], source: VS, severity: major}
"""
SPECS = """
@pytest.mark.clause("network.dns")
def test_users(host, expect, hypervisor):
    expect("shell of root", host.user("root").shell, "/bin/bash", at=hypervisor, do="./invoke plan")

@pytest.mark.clause("network.dns")
def test_name(host, expect, hypervisor):
    expect("name", host.file("/etc/hostname").content_string.strip(), {name!r}, at=hypervisor, do="./invoke plan")

@pytest.mark.clause("network.dns")
def test_twice(host, expect, hypervisor):
    name = host.check_output("cat -- /etc/hostname")
    expect("name", name, host.check_output("cat -- /etc/hostname"), at=hypervisor, do="./invoke plan")
"""
TOUCH = "touch /run/came-in"
BROKEN = ["", "{", "[]", "7", '{"x": 3}', '{"x": {"hv01": 3}}', '{"x": {"hv01": [3, null]}}', "\0"]
NUMBERS = itertools.count()

Verify = Callable[..., Report]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with started_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


@pytest.fixture
def contract(machine: Machine, tmp_path: Path) -> Contract:
    """A site whose hypervisor and only guest are both that machine."""
    known = tmp_path / "known_hosts"
    known.write_text("".join(f"{name} {machine.host_key}\n" for name in ("hv01", "metrics-vm01")))
    ssh = Ssh("root", machine.login.port, machine.login.identity_file, known)
    guest = sites.guest()
    guest = replace(guest, ssh=ssh, nic=replace(guest.nic, address=IPv4Interface("127.0.0.1/8")))
    site = sites.contract(guest, state_dir=tmp_path / "state")
    return replace(site, hypervisor=replace(site.hypervisor, address=IPv4Address("127.0.0.1"), ssh=ssh))


@pytest.fixture
def verify(contract: Contract, tmp_path: Path) -> Verify:
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "clauses.yml").write_text(CLAUSES)

    def run(text: str, *arguments: str, contract: Contract = contract) -> Report:
        for old in folder.glob("test_*.py"):
            old.unlink()
        # pytest keeps imported specs by name for the life of the process.
        (folder / f"test_trips_{next(NUMBERS)}.py").write_text("import pytest\n" + textwrap.dedent(text))
        options = VerifyOptions(inventory=tmp_path, specs=folder, pytest_args=arguments)
        report = take_report(options, contract=contract, out=Lines(io.StringIO()))
        assert report is not None
        return report

    return run


def checks(report: Report) -> dict[str, str]:
    return {check.name: check.verdict for clause in report.clauses for check in clause.checks}


def evidence(report: Report, name: str) -> list[str]:
    found = [check for clause in report.clauses for check in clause.checks if check.name == name]
    assert found, [check.message for clause in report.clauses for check in clause.checks]
    return [f"{fact.source} {fact.asked} -> {fact.answered}" for fact in found[0].evidence]


def specs(name: str = "clone-of-template") -> str:
    return SPECS.replace("{name!r}", repr(name))


def remembered(contract: Contract) -> dict[str, list[str]]:
    held: dict[str, dict[str, list[str]]] = json.loads((contract.state_dir / FILE).read_text())
    return next(iter(held.values()))


def keep(contract: Contract, specs_folder: Path, commands: list[str]) -> None:
    contract.state_dir.mkdir(exist_ok=True)
    (contract.state_dir / FILE).write_text(json.dumps({str(specs_folder): {"hv01": commands}}))


def test_the_second_run_takes_one_round_trip_and_finds_the_same(verify: Verify, contract: Contract) -> None:
    first, second = verify(specs()), verify(specs())
    assert set(checks(first).values()) == {"pass"}
    assert checks(first) == checks(second)
    assert first.ssh_trips == len(remembered(contract)["hv01"])
    assert second.ssh_trips == 1
    for name in checks(first):
        assert evidence(first, name) == evidence(second, name) != []


def test_answers_are_not_remembered(verify: Verify, contract: Contract, machine: Machine) -> None:
    verify(specs())
    root = Path(f"/proc/{machine.pid}/root/etc/hostname")
    before = root.read_text()
    try:
        root.write_text("somebody-else\n")
        second = verify(specs())
    finally:
        root.write_text(before)
    assert checks(second)["test_name"] == "fail"
    assert second.ssh_trips == 1
    assert before.strip() not in (contract.state_dir / FILE).read_text()


def test_a_new_question_is_asked_live_and_then_comes_along(verify: Verify) -> None:
    more = """
@pytest.mark.clause("network.dns")
def test_more(host, expect, hypervisor):
    expect("uid", host.user("root").uid, 0, at=hypervisor, do="./invoke plan")
"""
    verify(specs())
    assert [verify(specs() + more).ssh_trips, verify(specs() + more).ssh_trips] == [2, 1]


def test_a_whole_run_forgets_what_nobody_asks_any_more(verify: Verify, contract: Contract) -> None:
    verify(specs())
    everything = remembered(contract)["hv01"]
    verify(specs(), "-k", "test_name")
    assert sorted(remembered(contract)["hv01"]) == sorted(everything)
    verify("@pytest.mark.clause" + specs().split("@pytest.mark.clause")[2])
    asked = remembered(contract)["hv01"]
    assert "cat -- /etc/hostname" in asked
    assert [command for command in asked if "getent" in command] == []
    assert any("getent" in command for command in everything)


def test_a_spec_about_a_guest_sees_the_guest(verify: Verify) -> None:
    text = """
@pytest.mark.clause("network.dns")
def test_inside(host, guest, expect):
    expect("name", host.check_output("cat -- /etc/hostname"), "clone-of-template", at=guest, do="./invoke plan")
"""
    report = verify(text)
    assert checks(report) == {"test_inside[metrics-vm01]": "pass"}
    seen = evidence(report, "test_inside[metrics-vm01]")
    assert "guest metrics-vm01: cat -- /etc/hostname -> rc 0\nclone-of-template" in seen


def test_what_writes_is_never_remembered_and_asked_each_time(verify: Verify, contract: Contract) -> None:
    text = """
@pytest.mark.clause("network.dns")
def test_counts(host, expect, hypervisor):
    host.run("echo x >>/run/counted")
    host.run("echo x >>/run/counted")
    expect("lines", host.check_output("wc -l </run/counted"), "2", at=hypervisor, do="./invoke plan")
"""
    assert checks(verify(text)) == {"test_counts": "pass"}
    assert remembered(contract) == {"hv01": ["wc -l </run/counted"]}


def test_an_edited_file_makes_nothing_happen(
    verify: Verify, contract: Contract, machine: Machine, tmp_path: Path
) -> None:
    bad = [
        TOUCH,
        f"cat /etc/hostname; {TOUCH}",
        f"cat $({TOUCH})",
        "cat '",
        "exit 3",
    ]
    keep(contract, tmp_path / "specs", [*bad, "cat -- /etc/hostname"])
    report = verify(specs())
    assert set(checks(report).values()) == {"pass"}
    assert not Path(f"/proc/{machine.pid}/root/run/came-in").exists()
    assert not set(bad) & set(remembered(contract)["hv01"])


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    memory = Memory(tmp_path / FILE, "x")
    assert memory.foresee("hv01") == ()
    memory.note("hv01", "cat /etc/hostname")
    memory.keep(["hv01"])
    assert Memory(tmp_path / FILE, "x").foresee("hv01") == ("cat /etc/hostname",)


def test_where_nothing_can_be_kept_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = Memory(tmp_path / "file" / FILE, "x")
    memory.note("hv01", "cat /etc/hostname")
    memory.keep(["hv01"])
    assert (tmp_path / "file").read_text() == ""


def test_no_more_is_sent_ahead_than_fits(tmp_path: Path) -> None:
    long = [f"cat /srv/{number}{'x' * 1000}" for number in range(100)]
    (tmp_path / FILE).write_text(json.dumps({"x": {"hv01": long}}))
    assert 10 < len(Memory(tmp_path / FILE, "x").foresee("hv01")) < 100


def test_a_remembered_command_that_hangs_is_cut_off_alone(contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.verify.trips.FORESEEN_TIMEOUT_S", 0.5)
    keep(contract, Path("specs"), ["cat -- /etc/hostname", "sleep 60", "id -u"])
    looks = Looks()
    trips = Trips(contract, looks, Memory(contract.state_dir / FILE, "specs"))
    trips.plan("hv01", "slow", {"slow": "sleep 1; echo slow"})
    trips.plan("hv01", "quick", {"quick": "echo quick", "fails": "echo why >&2; exit 3"})
    try:
        ask = trips.machine("hv01", "host").run
        assert ask("cat -- /etc/hostname").stdout == "clone-of-template\n"
        quick = looks.fetch("quick", trips.look("hv01", "quick", {"quick": "", "fails": ""}, "host"))
        slow = looks.fetch("slow", trips.look("hv01", "slow", {"slow": ""}, "host"))
        assert (quick.text("quick"), quick.answer("fails").output, quick.answer("fails").rc) == ("quick", "why", 3)
        assert slow.text("slow") == "slow"
        assert trips.count == 1
        assert ask("id -u").stdout == "0\n"
        assert trips.count == 2
    finally:
        trips.close()


def test_both_streams_and_the_status_are_the_commands_own(contract: Contract) -> None:
    commands = ["cat -- /nowhere", "printf 'no end'", "printf 'a\\n\\n'", "true", "exit 3", "cat /etc/hostname | wc -l"]
    keep(contract, Path("specs"), commands)
    live = Trips(contract, Looks(), Memory())
    ahead = Trips(contract, Looks(), Memory(contract.state_dir / FILE, "specs"))
    ahead.plan_remembered("hv01")
    try:
        for command in commands:
            one, other = live.machine("hv01", "host").run(command), ahead.machine("hv01", "host").run(command)
            assert (one.rc, one.stdout, one.stderr) == (other.rc, other.stdout, other.stderr), command
        assert (live.count, ahead.count) == (len(commands), 1)
    finally:
        live.close()
        ahead.close()


def test_a_whole_run_has_begun_before_anything_of_pytest_is_there(contract: Contract) -> None:
    trips = begin(contract, VerifyOptions())
    assert trips is not None
    try:
        trips.looks.settle()
        assert trips.count == 1
        trips.start()
        trips.looks.settle()
        assert trips.planned == ("hv01", "metrics-vm01")
        assert trips.count == 2
        key = "guest metrics-vm01"
        inside = trips.looks.fetch(key, trips.look("metrics-vm01", key, guest_facts.COMMANDS, "guest"))
        assert inside.text("hostname") == "clone-of-template"
        assert trips.count == 2
    finally:
        trips.close()


@pytest.mark.parametrize(
    "part", [{"guest": "x"}, {"clauses": ("network",)}, {"profile": "x"}, {"pytest_args": ("-x",)}]
)
def test_any_other_run_is_read_first(part: dict[str, Any]) -> None:
    assert begin(sites.contract(), VerifyOptions(**part)) is None


def test_nothing_is_loaded_before_the_hosts_are_asked_that_is_not_needed_for_it() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import sys, harness.commands.verify; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=OWN_SPECS.parent,
    )
    late = {
        "pytest",
        "requests",
        "proxmoxer",
        "jinja2",
        "dns",
        "harness.pve.client",
        "harness.engine",
        "harness.report",
    }
    assert late & set(said.stdout.split()) == set()


def test_a_host_that_nobody_can_log_in_to_is_tried_once(verify: Verify, contract: Contract) -> None:
    nobody = replace(contract.hypervisor, ssh=replace(contract.hypervisor.ssh, user="nobody"))
    report = verify(specs(), contract=replace(contract, hypervisor=nobody))
    assert set(checks(report).values()) == {"unknown"}
    assert report.ssh_trips == 1


def test_a_hash_of_a_password_is_no_evidence(verify: Verify) -> None:
    report = verify("""
@pytest.mark.clause("network.dns")
def test_locked(host, expect, hypervisor):
    expect("locked", host.user("root").password[:1] in ("*", "!"), True, at=hypervisor, do="./invoke plan")
""")
    assert "host hv01: getent shadow root -> [hidden]" in evidence(report, "test_locked")
