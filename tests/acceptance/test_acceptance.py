"""An acceptance runs what a person would type, skips what cannot go well, and keeps what was said."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

import tasks
from harness import acceptance as accepting
from harness.acceptance import Done, Stage, running
from harness.commands.acceptance import acceptance
from harness.commands.front import INTERRUPTED
from harness.errors import Refused, Unsafe
from harness.nested.accelerator import choose
from harness.site import open_contract

ROOT = Path(__file__).parents[2]
INVENTORY = ROOT / "inventory"
WORKFLOWS = (ROOT / ".github/workflows/ci.yml", ROOT / ".gitlab-ci.yml")
without_kvm = pytest.mark.skipif(choose().name == "kvm", reason="this machine has KVM")


def names(site: str, ground: accepting.Ground) -> list[str]:
    stages = accepting.stages_of(open_contract(INVENTORY, site), ground, INVENTORY, Path("/kept"))
    return [stage.name for stage in stages]


def test_the_lab_is_accepted_from_nothing_to_the_report() -> None:
    assert names("lab", "lab") == [
        *("up", "bootstrap", "provision", "backup", "verify"),
        *("drill reboot", "drill tenant-loss", "drill router-alone", "drill restore", "drill rebuild", "report"),
    ]


def test_a_nested_site_is_built_first() -> None:
    assert names("nested", "nested")[:3] == ["build", "up", "bootstrap"]


@pytest.mark.parametrize(("site", "ground"), [("lab", "lab"), ("nested", "nested")])
def test_every_stage_is_a_command_that_exists(site: str, ground: accepting.Ground) -> None:
    contract = open_contract(INVENTORY, site)
    stages = [*accepting.stages_of(contract, ground, INVENTORY, Path("/kept")), accepting.down_of(contract, ground)]
    assert {stage.command[0] for stage in stages} <= set(tasks.namespace.task_names)
    known = {stage.name for stage in stages} | {"template"}
    assert {need for stage in stages for need in stage.needs} <= known


def test_a_stage_that_fails_keeps_only_what_needs_it_from_running(tmp_path: Path) -> None:
    stages = [
        Stage("wrong", ("inventory.check", "--site", "nowhere")),
        Stage("blocked", ("inventory.check", "--site", "lab"), needs=("wrong",)),
        Stage("free", ("inventory.check", "--site", "lab")),
    ]
    done: list[Done] = []
    accepting.run_stages(stages, tmp_path, done, lambda _: None)
    assert [one.verdict for one in done] == ["could not", "skipped", "good"]
    assert accepting.exit_status(done) == 2
    assert "nowhere" in done[0].said
    assert "wrong was not good" in done[1].said
    assert "nowhere" in (tmp_path / "01-wrong.log").read_text()
    assert not list(tmp_path.glob("02-*"))
    accepting.write_summary(tmp_path, "lab", done, ["no task logs: | nobody"])
    told = json.loads((tmp_path / "summary.json").read_text())
    assert [stage["verdict"] for stage in told["stages"]] == ["could not", "skipped", "good"]
    assert "## Acceptance of site lab: no verdict" in (tmp_path / "summary.md").read_text()


UNDOES = """#!/bin/sh
trap 'kill $!; echo what was changed is put back; exit 2' TERM
sleep 60 >/dev/null &
echo something is changed
wait
"""


def test_a_stage_that_is_interrupted_undoes_and_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "invoke"
    script.write_text(UNDOES)
    script.chmod(0o755)
    monkeypatch.setattr(running, "CHECKOUT", tmp_path)
    done: list[Done] = []

    def tell(line: str) -> None:
        if line == "something is changed":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        accepting.run_stage(Stage("drill", ("drill",)), tmp_path, done, tell)
    assert [one.verdict for one in done] == ["interrupted"]
    assert (tmp_path / "01-drill.log").read_text().splitlines()[-1] == "what was changed is put back"


def test_a_run_told_to_end_while_it_keeps_artefacts_still_takes_the_site_down(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf: list[bool] = []

    def told_to_end(*_: object) -> list[str]:
        raise KeyboardInterrupt

    def take_down(stage: Stage, folder: Path, done: list[Done], tell: object) -> None:
        deaf.append(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)
        done.append(Done(stage, "good", 0, 0.0, "", None))

    for name in ("lab.require_root", "install_missing", "_require_nothing_up", "accepting.run_stages"):
        monkeypatch.setattr(f"harness.commands.acceptance.{name}", lambda *_, **__: None)
    monkeypatch.setattr("harness.commands.acceptance._keep", told_to_end)
    monkeypatch.setattr("harness.commands.acceptance.accepting.run_stage", take_down)
    assert acceptance(INVENTORY, "lab", folder=tmp_path, kvm="any", keep=False) == INTERRUPTED
    assert deaf == [True]
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    told = json.loads((tmp_path / "summary.json").read_text())
    assert [stage["name"] for stage in told["stages"]] == ["down"]
    assert "not all journals, consoles and task logs are kept" in capsys.readouterr().out


def test_the_folder_of_a_killed_run_is_taken_by_the_next(tmp_path: Path) -> None:
    folder = accepting.take_folder(tmp_path / "kept", "lab")
    (folder / "01-up.log").touch()
    (folder / "consoles").mkdir()
    (folder / "consoles/hv01.log").touch()
    told = json.loads((folder / "summary.json").read_text())
    assert (told["ended"], told["status"]) == (None, 2)
    assert "has not ended, or was killed" in (folder / "summary.md").read_text()
    again = accepting.take_folder(folder, "lab")
    assert sorted(path.name for path in again.iterdir()) == ["summary.json", "summary.md"]


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    with pytest.raises(Unsafe, match="no artefacts of an earlier run"):
        accepting.take_folder(tmp_path, "lab")
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    with pytest.raises(Refused, match=r"letter: it cannot be used .*--artifacts DIR"):
        accepting.take_folder(tmp_path / "letter", "lab")


def test_no_stage_at_all_is_no_verdict() -> None:
    assert accepting.exit_status([]) == 2


def test_a_broken_promise_is_one_and_a_hole_is_two() -> None:
    def ended(status: int) -> Done:
        return Done(Stage("verify", ("verify",)), "bad", status, 0.0, "", None)

    assert accepting.exit_status([ended(0), ended(1), ended(0)]) == 1
    assert accepting.exit_status([ended(1), ended(2)]) == 2


def test_a_real_site_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert acceptance(INVENTORY, "dvntm", folder=tmp_path, kvm="any", keep=False) == 2
    assert "neither the lab nor a nested VM" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_unknown_choice_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert acceptance(INVENTORY, "nested", folder=tmp_path, kvm="maybe", keep=False) == 2
    assert "any, skip, required" in capsys.readouterr().err


@without_kvm
def test_without_kvm_it_is_skipped_loudly_where_that_is_allowed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert acceptance(INVENTORY, "nested", folder=tmp_path, kvm="skip", keep=False) == 0
    said = capsys.readouterr().out
    assert "SKIPPED: the nested acceptance was NOT run" in said
    assert "::warning title=Nested acceptance skipped::" in said


@without_kvm
def test_without_kvm_it_fails_where_kvm_is_required(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert acceptance(INVENTORY, "nested", folder=tmp_path, kvm="required", keep=False) == 2
    assert "KVM is required and cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_ci_runs_the_gate_and_both_kinds_of_nested_acceptance(file: Path) -> None:
    text = file.read_text()
    assert yaml.safe_load(text)
    scripts = set(re.findall(r"(?<![\w/])(\.ci/[a-z-]+)", text))
    assert scripts == {".ci/run", ".ci/own-disk", ".ci/acceptance"}
    assert all((ROOT / script).stat().st_mode & 0o100 for script in scripts)
    assert set(re.findall(r"\./invoke ([a-z.]+)", text)) <= set(tasks.namespace.task_names)
    assert re.search(r"(?i)kvm: skip", text)
    assert re.search(r"(?i)kvm: required", text)


@pytest.mark.parametrize("script", sorted((ROOT / ".ci").iterdir()), ids=lambda file: file.name)
def test_ci_scripts_are_sound_shell(script: Path) -> None:
    assert subprocess.run(["sh", "-n", script], capture_output=True, check=False).returncode == 0
