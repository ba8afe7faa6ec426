"""A template is made of its image once, whatever went wrong before, and is not used before it is proven."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.contract import VmId
from harness.engine.observe import make_plan, observe
from harness.errors import HarnessError, Invalid, Missing, Refused, TaskFailed, Unsafe
from harness.plan.fitness import is_untested, parse_imported, parse_trial
from harness.pve.client import Writer
from harness.templates import list_templates, proving
from tests import sites
from tests.pve.served import make_certificate
from tests.simulators import simulating
from tests.templates.benches import MADE_NEW, BenchWorld, world_of
from tests.templates.images import image_of, qcow2

GIB = 1 << 30
VMID = VmId(9043)
CONTENT = "/nodes/hv01/storage/local/content"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def world(tmp_path: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[BenchWorld]:
    monkeypatch.setattr(proving, "AFTER_SSHD_S", 0.3)
    (tmp_path / "fedora-43.qcow2").write_bytes(qcow2())
    with simulating(tmp_path, *certificate) as simulated:
        world = world_of(simulated, [sites.guest()])
        world.identity = MADE_NEW
        world.declare(
            name="fedora-43-1.6", vmid=VMID, build_mark="Fedora 43-1.6", image=image_of(tmp_path / "fedora-43.qcow2")
        )
        yield world


def uploads(world: BenchWorld) -> int:
    return world.simulated.calls().get("POST /nodes/{node}/storage/{storage}/upload", 0)


def images_of(world: BenchWorld) -> list[str]:
    return [entry["volid"] for entry in world.simulated.root().get(CONTENT, {"content": "import"})]


def nothing_was_made(world: BenchWorld) -> bool:
    return world.vm(VMID) is None and world.vm(199) is None


def test_an_image_becomes_a_template_as_the_factory_defines_it(world: BenchWorld) -> None:
    done = world.bring()
    assert (done.made, done.unfit, done.vmid) == (True, (), VMID)
    vm = world.vm(VMID)
    assert vm is not None
    assert vm.template
    assert (vm.name, vm.memory_mib, vm.cores, vm.agent, vm.onboot) == ("fedora-43-1.6", 4096, 4, True, False)
    assert (vm.config["cpu"], vm.config["scsihw"], vm.config["boot"]) == ("host", "virtio-scsi-single", "order=scsi0")
    assert vm.disks["scsi0"].startswith("local-lvm:base-9043-disk-0,")
    assert "size=4G" in vm.disks["scsi0"]
    assert (vm.nics["net0"].model, vm.nics["net0"].bridge) == ("virtio", "vmbr0")
    assert vm.tags == {"mgmt-harness"}
    lines = vm.description.splitlines()
    assert lines[0] == "build: Fedora 43-1.6"
    imported = parse_imported(vm.description)
    assert imported is not None
    assert imported.image == f"sha256:{world.template.image.checksum}"  # type: ignore[union-attr]
    assert not is_untested(vm.description)
    assert parse_trial(vm.description) == done.trial
    members = world.simulated.root().get("/pools/mgmt")["members"]
    assert VMID in {member["vmid"] for member in members}
    assert world.vm(199) is None


def test_it_can_be_cloned_from_then_on(world: BenchWorld) -> None:
    world.bring()
    plan = make_plan(world.contract, world.simulated.reader())
    assert plan.refusals == ()
    assert [change.clone.template_vmid for change in plan.changes if change.clone] == [VMID]


def test_a_second_run_writes_nothing(world: BenchWorld) -> None:
    first = world.bring()
    world.simulated.control(op="reset-counters")
    again = world.bring()
    assert (again.made, again.trial, list(again.findings)) == (False, first.trial, [])
    assert world.simulated.writes() == 0


def test_an_unfit_template_is_there_and_not_usable(world: BenchWorld) -> None:
    world.login_works = False
    done = world.bring()
    assert done.unfit == ("login",)
    (refusal,) = make_plan(world.contract, world.simulated.reader()).refusals
    assert refusal.reason.endswith("(login)")


def test_a_run_that_ended_before_the_test_leaves_it_unusable_and_is_gone_on_with(world: BenchWorld) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    world.on_look = interrupt
    with pytest.raises(KeyboardInterrupt):
        world.bring()
    (refusal,) = make_plan(world.contract, world.simulated.reader()).refusals
    assert refusal.reason == "template fedora-43-1.6 (9043) was imported and has not passed its fitness test"
    world.on_look = lambda: None
    assert world.bring().unfit == ()
    assert uploads(world) == 1


def test_versions_live_side_by_side(world: BenchWorld) -> None:
    world.bring()
    older = world.template
    newer = world.simulated.folder / "newer.qcow2"
    newer.write_bytes(qcow2(virtual=8 * GIB))
    world.declare(name="fedora-43-1.7", vmid=VmId(9044), image=image_of(newer))
    world.bring()
    both = {"debian": world.template, "older": replace(older, key="older")}
    contract = replace(world.contract, hypervisor=replace(world.contract.hypervisor, templates=both))
    rows = list_templates(contract, observe(contract, world.simulated.reader()))
    assert [(row.key, row.vmid, row.usable) for row in rows][:2] == [("debian", 9044, True), ("older", 9043, True)]
    assert len(images_of(world)) == 2


@pytest.mark.parametrize("call", ["upload", "qemu", "template", "clone", "stop"])
def test_a_lost_answer_makes_nothing_twice(world: BenchWorld, call: str) -> None:
    paths = {"upload": "/upload$", "qemu": "/qemu$", "template": "/template$", "clone": "/clone$", "stop": "/stop$"}
    world.simulated.fault(kind="drop-after", method="POST", path=paths[call])
    assert world.bring().unfit == ()
    assert len(images_of(world)) == 1
    assert world.vm(199) is None
    calls = world.simulated.calls()
    assert calls["POST /nodes/{node}/qemu"] == 1
    assert uploads(world) == 1


class Dead(BaseException):
    """The process is gone: nothing that it would do afterwards reaches the hypervisor."""


WRITES = ["upload", "create", "template", "clone", "configure", "start", "stop", "destroy", "note"]


@pytest.mark.parametrize("last", range(len(WRITES)), ids=WRITES)
def test_an_end_after_any_write_is_made_good_by_the_next_run(
    world: BenchWorld, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0

    def until_dead(as_ever: Callable[..., object], is_write: Callable[..., bool]) -> Callable[..., object]:
        def send(*arguments: Any, **named: Any) -> object:
            nonlocal sent
            if not is_write(*arguments):
                return as_ever(*arguments, **named)
            if sent > last:
                raise Dead
            answer = as_ever(*arguments, **named)
            sent += 1
            if sent > last:
                raise Dead
            return answer

        return send

    with monkeypatch.context() as patched:
        patched.setattr(Writer, "_send", until_dead(Writer._send, lambda _, method, *__: method != "GET"))
        patched.setattr(Writer, "upload", until_dead(Writer.upload, lambda *_: True))
        with pytest.raises(Dead):
            world.bring()
    done = world.bring()
    assert done.unfit == ()
    assert world.vm(199) is None
    vm = world.vm(VMID)
    assert vm is not None
    assert (vm.template, is_untested(vm.description), parse_trial(vm.description)) == (True, False, done.trial)
    assert len(images_of(world)) == 1
    assert world.simulated.calls()["POST /nodes/{node}/qemu"] == 1
    assert make_plan(world.contract, world.simulated.reader()).refusals == ()


# -- bad input --------------------------------------------------------------------------------------------------------
def test_a_wrong_checksum_changes_nothing(world: BenchWorld) -> None:
    world.declare(image=image_of(world.simulated.folder / "fedora-43.qcow2", checksum="0" * 64))
    with pytest.raises(Invalid, match="declared is 000"):
        world.bring()
    assert world.simulated.writes() == 0


def test_an_image_that_is_cut_short_changes_nothing(world: BenchWorld) -> None:
    file = world.simulated.folder / "fedora-43.qcow2"
    file.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(Invalid, match="it is cut short"):
        world.bring()
    assert world.simulated.writes() == 0


def test_another_image_under_the_name_of_a_version_is_refused(world: BenchWorld) -> None:
    world.bring()
    other = world.simulated.folder / "other.qcow2"
    other.write_bytes(qcow2(virtual=8 * GIB))
    world.declare(image=image_of(other))
    world.simulated.control(op="reset-counters")
    with pytest.raises(Unsafe, match="Versions live side by side"):
        world.bring()
    assert world.simulated.writes() == 0


def test_a_number_that_is_taken(world: BenchWorld) -> None:
    world.declare(vmid=VmId(9000))
    with pytest.raises(Unsafe, match=r"taken by debian-lab-12, which this tool did not import; nothing was changed"):
        world.bring()
    assert world.simulated.writes() == 0


def test_a_name_that_is_taken(world: BenchWorld) -> None:
    world.declare(name="debian-lab-12")
    with pytest.raises(Unsafe, match="VM 9000 has that name already; nothing was changed"):
        world.bring()
    assert world.simulated.writes() == 0


def test_a_template_without_an_image(world: BenchWorld) -> None:
    world.declare(image=None)
    with pytest.raises(Invalid, match="says nothing of an image"):
        world.bring()


def test_no_room_for_the_image_is_told_before(world: BenchWorld) -> None:
    world.simulated.control(op="fill-storage", storage="local", available_bytes=1000)
    with pytest.raises(Unsafe, match=r"the storage local: the image needs 0\.2 MiB, it has 0\.0 MiB free"):
        world.bring()
    assert world.simulated.writes() == 0


def test_no_room_for_the_disk_is_told_before_the_vm(world: BenchWorld) -> None:
    world.simulated.control(op="fill-storage", storage="local-lvm", available_bytes=0)
    with pytest.raises(Unsafe, match="no VM was made"):
        world.bring()
    assert nothing_was_made(world)


def test_no_room_while_the_disk_is_copied_leaves_nothing_half(world: BenchWorld) -> None:
    class Filling(list[str]):
        def append(self, line: str) -> None:
            super().append(line)
            if line.startswith("Making"):
                world.simulated.control(op="fill-storage", storage="local-lvm", available_bytes=1000)

    world.said = Filling()
    with pytest.raises(TaskFailed, match="No space left") as caught:
        world.bring()
    assert "Free space on the storage" in caught.value.do
    assert nothing_was_made(world)
    world.said = []
    world.simulated.control(op="fill-storage", storage="local-lvm", available_bytes=None)
    assert world.bring().unfit == ()
    assert uploads(world) == 1  # what is there already does not travel again


def test_a_token_that_may_not_upload_is_told_what_it_lacks(world: BenchWorld) -> None:
    world.simulated.root().put("/access/roles/MgmtStore", {"privs": "Datastore.AllocateSpace Datastore.Audit"})
    world.simulated.control(op="reset-counters")
    with pytest.raises(
        Refused, match=r"lacks Datastore\.AllocateTemplate on /storage/local; nothing was changed"
    ) as error:
        world.bring()
    assert "pveum role modify MgmtStore" in error.value.do
    assert world.simulated.writes() == 0


def test_a_creation_that_pve_left_half_made(world: BenchWorld) -> None:
    config = {"lock": "create", "memory": "512"}
    world.simulated.control(op="seed", seed={"vms": [{"vmid": VMID, "config": config}]})
    with pytest.raises(Unsafe, match="qm unlock 9043 && qm destroy 9043 --purge"):
        world.bring()


# -- from the artifact server -----------------------------------------------------------------------------------------
class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_hypervisor_fetches_it_by_itself(world: BenchWorld) -> None:
    with serving(world.simulated.folder) as server:
        world.declare(image=image_of(url=f"{server}/fedora-43.qcow2", content=qcow2()))
        assert world.bring().unfit == ()
    assert uploads(world) == 0
    assert len(images_of(world)) == 1


def test_the_server_has_another_image(world: BenchWorld) -> None:
    with serving(world.simulated.folder) as server:
        world.declare(image=image_of(url=f"{server}/fedora-43.qcow2", content=b"something else"))
        with pytest.raises(TaskFailed, match="checksum mismatch"):
            world.bring()
    assert nothing_was_made(world)
    assert images_of(world) == []


def test_the_server_has_no_such_image(world: BenchWorld) -> None:
    with serving(world.simulated.folder) as server:
        world.declare(image=image_of(url=f"{server}/nowhere.qcow2", content=qcow2()))
        with pytest.raises((Missing, HarnessError), match="nowhere"):
            world.bring()
    assert nothing_was_made(world)
