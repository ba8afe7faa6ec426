"""Bring a declared template to the hypervisor, step by step from whatever is there, and test it before it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import date
from typing import Any

from harness.contract import Image, Template
from harness.engine.observe import observe
from harness.errors import Invalid, Unsafe
from harness.locking import site_lock
from harness.observed import ObservedGuest
from harness.plan.changes import Refusal
from harness.plan.fitness import (
    UNTESTED,
    Finding,
    Imported,
    Trial,
    is_untested,
    not_accepted,
    notes_of_an_import,
    notes_with,
    parse_imported,
    parse_trial,
)
from harness.plan.marks import TAG
from harness.plan.templates import find_template
from harness.pve import images, making, read
from harness.templates import arriving, scratch
from harness.templates.bench import Bench
from harness.templates.image_file import with_checksum
from harness.templates.proving import prove
from harness.templates.sending import carry_out, settle
from harness.wait import wait_until

CREATE_LEAST_S = 300.0
SLOWEST_BYTES_PER_S = 10 << 20
CONVERT_S = 300.0


@dataclass(frozen=True)
class Outcome:
    """What became of a template; `findings` is empty when an earlier test's result stood."""

    template: Template
    vmid: int
    made: bool
    trial: Trial
    findings: Sequence[Finding]

    @property
    def unfit(self) -> tuple[str, ...]:
        """The failed checks that the inventory does not accept."""
        return not_accepted(self.template, self.trial.failed)


Ready = Callable[[Set[str]], None]  # refuses hosts that the network would not give their address


def bring(bench: Bench, template: Template, *, ready: Ready = lambda _: None) -> Outcome:
    """Import what is missing, finish what is half made, and test what has not passed; a second run changes nothing."""
    image, vmid = template.image, template.vmid
    if image is None or vmid is None:
        raise Invalid(
            tried="import a template",
            on=template.name,
            happened="the inventory says nothing of an image",
            do=f"Declare image (file or url, and checksum) and vmid in {template.declared}",
        )
    scratch.scratch_guest(bench.contract, template)
    image = with_checksum(image)
    with site_lock(bench.contract.state_dir, bench.contract.site):
        _refuse_namesakes(bench, template, vmid)
        vm = _present(bench, template, image, vmid)
        made = vm is None
        if vm is None:
            vm = _create(bench, template, image, vmid)
        if not vm.template:
            vm = _convert(bench, template, vmid)
            made = True
        trial = parse_trial(vm.description)
        if trial is not None and not not_accepted(template, trial.failed):
            return Outcome(template, vmid, made, trial, ())
        return _test(bench, template, vm, made=made, ready=ready)


def examine(bench: Bench, template: Template, *, ready: Ready = lambda _: None) -> Outcome:
    """Test a template that is there, however it came there; the result goes into its notes."""
    scratch.scratch_guest(bench.contract, template)
    with site_lock(bench.contract.state_dir, bench.contract.site):
        vm = find_template(bench.contract, template, observe(bench.contract, bench.reader))
        if isinstance(vm, Refusal):
            raise Unsafe(tried="test a template", on=template.name, happened=vm.reason, do=vm.do)
        return _test(bench, template, vm, made=False, ready=ready)


def _test(bench: Bench, template: Template, vm: ObservedGuest, *, made: bool, ready: Ready) -> Outcome:
    if bench.contract.scratch is not None:
        ready({bench.contract.scratch.name})
    findings = prove(bench, template, vm)
    trial = Trial(date.today(), tuple(finding.check for finding in findings if not finding.ok))
    bench.journal.write(_line(template), vm.vmid, "tested", failed=",".join(trial.failed) or "none")

    def wanted(found: ObservedGuest) -> dict[str, Any]:
        notes = notes_with(found.description, trial)
        return {} if notes == found.description.rstrip("\n") else {"description": notes}

    settle(bench.writer, bench.node, vm.vmid, wanted, tried="note the result of the test", on=f"VM {vm.vmid}")
    return Outcome(template, vm.vmid, made, trial, findings)


def _refuse_namesakes(bench: Bench, template: Template, vmid: int) -> None:
    """The look-up must match exactly one: a second VM of the name would make this template and that one useless."""
    guests = read.read_guests(bench.reader, bench.node)
    others = [str(vm.vmid) for vm in guests if vm.name == template.name and vm.vmid != vmid]
    if others:
        raise Unsafe(
            tried="import a template",
            on=template.name,
            happened=f"VM {', '.join(others)} has that name already; nothing was changed",
            do=f"Give each version a name of its own: correct name in {template.declared}, or rename the other",
        )


def _present(bench: Bench, template: Template, image: Image, vmid: int) -> ObservedGuest | None:
    """What an earlier run left at the VMID, whole; None when there is nothing."""
    _await_creation(bench, vmid)
    vm = read.read_guest(bench.reader, bench.node, vmid)
    if vm is None:
        if read.vmid_is_taken(bench.reader, vmid):
            raise _taken(bench, template, vmid, "something that is no VM")
        return None
    imported = parse_imported(vm.description)
    if vm.lock == "create":
        raise Unsafe(
            tried="go on with the import",
            on=f"VM {vmid}",
            happened="an earlier run left it half made and no task works on it; a token may not lift its lock",
            do=f"On the node, as root: `qm unlock {vmid} && qm destroy {vmid} --purge`, then run the same command "
            "again",
        )
    if imported is None or (imported.site, imported.template) != (bench.contract.site, template.name):
        raise _taken(bench, template, vmid, f"{vm.name or 'a VM without a name'}, which this tool did not import")
    if imported.image != _image_id(image):
        raise Unsafe(
            tried="import a template",
            on=f"{template.name} (VM {vmid})",
            happened=f"it was made of {imported.image}, declared is {_image_id(image)}; nothing was changed",
            do=f"Versions live side by side: declare the new one under a key, name and vmid of its own, beside "
            f"{template.declared}",
        )
    return vm


def _taken(bench: Bench, template: Template, vmid: int, whose: str) -> Unsafe:
    test = bench.contract.invoke(f"template.test --template {template.key}")
    return Unsafe(
        tried="import a template",
        on=f"VM {vmid}",
        happened=f"the VMID is taken by {whose}; nothing was changed",
        do=f"Declare another vmid in {template.declared}; a template that is there already needs no import,"
        f" only {test}",
    )


def _await_creation(bench: Bench, vmid: int) -> None:
    """A creation that an interrupted run left at work is waited for; how it ended shows in what is there."""

    def look() -> tuple[bool | None, str]:
        at_work = images.running(bench.reader, bench.node, "qmcreate", vmid)
        return (None, str(at_work[0])) if at_work else (True, "ended")

    if look()[0] is None:
        bench.say(f"An earlier run's import of VM {vmid} is still at work; waiting for it")
        wait_until(look, deadline_s=CREATE_LEAST_S)


def _create(bench: Bench, template: Template, image: Image, vmid: int) -> ObservedGuest:
    volume = arriving.bring_image(bench, template, image)
    arriving.refuse_without_room(bench, template, volume)
    on = f"{template.name} (VM {vmid})"
    bench.say(f"Making {on} of {volume.volid}")
    bench.journal.write(_line(template), vmid, "create", image=_image_id(image))
    carry_out(
        bench,
        lambda: making.create(bench.writer, bench.node, vmid, definition(bench, template, image, volume.volid)),
        tried="make the template's VM",
        on=on,
        running=lambda: images.running(bench.writer, bench.node, "qmcreate", vmid),
        is_done=lambda: _is_made(bench, vmid),
        deadline_s=max(CREATE_LEAST_S, volume.size_bytes / SLOWEST_BYTES_PER_S),
    )
    bench.journal.write(_line(template), vmid, "created")
    return _read_back(bench, vmid, on)


def definition(bench: Bench, template: Template, image: Image, volid: str) -> dict[str, Any]:
    """The VM as the image factory defines it; name and notes go along, so that it is never without its mark."""
    imported = Imported(_image_id(image), bench.contract.site, template.name)
    return {
        "name": template.name,
        "description": notes_of_an_import(template.build_mark, imported),
        "tags": TAG,
        "pool": bench.contract.hypervisor.pool,
        "memory": image.memory_mib,
        "cores": image.cores,
        "cpu": image.cpu,
        "ostype": "l26",
        "agent": "1",
        "scsihw": "virtio-scsi-single",
        "scsi0": f"{template.storage}:0,import-from={volid},discard=on",
        "net0": f"virtio,bridge={image.bridge}",
        "boot": "order=scsi0",
    }


def _convert(bench: Bench, template: Template, vmid: int) -> ObservedGuest:
    on = f"{template.name} (VM {vmid})"
    bench.journal.write(_line(template), vmid, "convert")
    carry_out(
        bench,
        lambda: making.convert(bench.writer, bench.node, vmid),
        tried="turn it into a template",
        on=on,
        running=lambda: images.running(bench.writer, bench.node, "qmtemplate", vmid),
        is_done=lambda: _is_template(bench, vmid),
        deadline_s=CONVERT_S,
    )
    return _read_back(bench, vmid, on, template=True)


def _is_made(bench: Bench, vmid: int) -> bool:
    vm = read.read_guest(bench.reader, bench.node, vmid)
    return vm is not None and vm.lock is None


def _is_template(bench: Bench, vmid: int) -> bool:
    vm = read.read_guest(bench.reader, bench.node, vmid)
    return vm is not None and vm.template


def _read_back(bench: Bench, vmid: int, on: str, *, template: bool = False) -> ObservedGuest:
    """Its task succeeded; what counts is what is there."""
    vm = read.read_guest(bench.reader, bench.node, vmid)
    if vm is not None and vm.lock is None and (vm.template or not template) and is_untested(vm.description):
        return vm
    seen = "nothing is there" if vm is None else f"lock {vm.lock}, template {vm.template}, notes {vm.description!r}"
    raise Unsafe(
        tried="read the template back",
        on=on,
        happened=f"its task succeeded, but {seen}",
        do=f"Look at `qm config {vmid}` on the node; its notes should carry {UNTESTED!r}",
    )


def _image_id(image: Image) -> str:
    return f"{image.algorithm}:{image.checksum}"


def _line(template: Template) -> str:
    """Its file in the journal; no guest's name has an underscore."""
    return f"template_{template.key}"
