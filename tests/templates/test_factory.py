"""The owner's factory is called with packer when that is asked for; what it built is tested like any template."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.contract import ApiToken, Factory, SecretRef
from harness.errors import HarnessError, Invalid, Missing, Unsafe
from harness.evidence import Secret
from harness.pve.upid import parse_upid, wait_task
from harness.templates import Outcome, build, proving
from tests.pve.served import make_certificate
from tests.simulators import simulating
from tests.templates.benches import MADE_NEW, BenchWorld, world_of

TOKEN = ApiToken("factory@pve!packer", SecretRef("env", "FACTORY_TOKEN"))
DONE = "  ==> proxmox-iso.fedora: built"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BenchWorld]:
    monkeypatch.setattr(proving, "AFTER_SSHD_S", 0.3)
    factory, programs = tmp_path / "factory", tmp_path / "bin"
    factory.mkdir()
    programs.mkdir()
    (factory / "fedora-43.pkr.hcl").write_text("source {}\n")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with simulating(tmp_path, *make_certificate(tmp_path)) as simulated:
        world = world_of(simulated)
        world.identity = MADE_NEW
        world.declare(name="fedora-43", vmid=None, factory=Factory(factory, "fedora-43.pkr.hcl", TOKEN))
        yield world


def packer(world: BenchWorld, script: str) -> None:
    """A program of that name; it is the owner's to bring."""
    program = world.simulated.folder / "bin" / "packer"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def run(world: BenchWorld) -> Outcome:
    return build(world.bench(), world.template, lambda _: Secret("s3cr3t-of-packer"))


class Building(list[str]):
    """What is said; when packer says that it is done, the hypervisor has the template."""

    def __init__(self, world: BenchWorld) -> None:
        super().__init__()
        self._world = world

    def append(self, line: str) -> None:
        super().append(line)
        if line == DONE:
            root = self._world.simulated.root()
            body = {"newid": 9043, "name": "fedora-43", "full": 1, "pool": "mgmt", "description": "build: lab-image-1"}
            for path, data in (("/9000/clone", body), ("/9043/template", {})):
                upid = parse_upid(root.post(f"/nodes/hv01/qemu{path}", data))
                wait_task(root, upid, deadline_s=10, tried="build", on="9043")


def test_what_packer_builds_is_tested(world: BenchWorld) -> None:
    seen = world.simulated.folder / "seen"
    packer(world, f'env > {seen}; echo "$@" >> {seen}; pwd >> {seen}; echo "==> proxmox-iso.fedora: built"')
    world.said = Building(world)
    done = run(world)
    assert (done.vmid, done.unfit) == (9043, ())
    told = seen.read_text().splitlines()
    assert "build -color=false fedora-43.pkr.hcl" in told
    assert f"TF_VAR_proxmox_url={world.simulated.url}/api2/json" in told
    assert {"TF_VAR_proxmox_token_id=factory@pve!packer", "TF_VAR_proxmox_token_secret=s3cr3t-of-packer"} <= {*told}
    assert {"TF_VAR_proxmox_node=hv01", str(world.simulated.folder / "factory")} <= {*told}


def test_packers_failure_is_told_with_its_last_words_and_without_the_secret(world: BenchWorld) -> None:
    packer(world, 'echo "token $TF_VAR_proxmox_token_secret refused"; echo "Build failed" >&2; exit 3')
    with pytest.raises(HarnessError, match="packer ended with 3") as caught:
        run(world)
    assert "Build failed" in str(caught.value)
    assert "s3cr3t" not in str(caught.value) + "".join(world.said)


def test_without_packer_only_the_one_who_asked_is_told(world: BenchWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(world.simulated.folder / "bin"))
    with pytest.raises(Missing, match="packer is not installed"):
        run(world)
    assert world.simulated.writes() == 0


def test_a_template_that_is_there_is_not_built_over(world: BenchWorld) -> None:
    packer(world, "exit 1")
    world.declare(name="debian-lab-12")
    with pytest.raises(Unsafe, match=r"it is there already \(VM 9000\); nothing was changed"):
        run(world)
    assert world.said == []


def test_a_template_without_a_factory(world: BenchWorld) -> None:
    world.declare(factory=None)
    with pytest.raises(Invalid, match="names no image factory"):
        run(world)


def test_a_factory_that_is_not_checked_out(world: BenchWorld) -> None:
    world.declare(factory=Factory(world.simulated.folder / "nowhere", "a.pkr.hcl", None))
    with pytest.raises(Missing, match="there is no such file"):
        run(world)
