"""Ways to break something in the lab and to put it right again, each a line in the table of faults."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.contract import Contract
from harness.drills.catalogue import DRILLS
from harness.drills.record import Record, read_record, write_record
from harness.site import open_contract
from tests.faults.bench import HYPERVISOR, SITE, Bench, control, put_back, root, run
from tests.site.administrator import as_root, end_of_task, finish_task

Way = Callable[[Bench], AbstractContextManager[object]]
Edit = tuple[str, str, str]  # file, what stands there once, what stands there instead

NODE = f"/nodes/{HYPERVISOR}"
COPIES = itertools.count()


def together(*ways: Way) -> Way:
    """One fault that takes several steps; they are undone the other way round."""

    @contextmanager
    def way(bench: Bench) -> Iterator[None]:
        with ExitStack() as stack:
            for each in ways:
                stack.enter_context(each(bench))
            yield

    return way


# --- through PVE's API ---------------------------------------------------------------------------------------------


def called(method: str, path: str, /, **form: str) -> Way:
    """A call as somebody in the web interface would make it; `_` in a key stands for `-`."""

    @contextmanager
    def way(_: Bench) -> Iterator[None]:
        try:
            answer = as_root(method, path, **{key.replace("_", "-"): value for key, value in form.items()})
            if isinstance(answer, str) and answer.startswith("UPID:"):
                finish_task(answer)
            yield
        finally:
            put_back()

    return way


def configured(vmid: int, **keys: str) -> Way:
    return called("PUT", f"{NODE}/qemu/{vmid}/config", **keys)


def edited_behind_the_api(vmid: int, *, delete: tuple[str, ...] = (), **keys: str) -> Way:
    """What PVE itself would not let anybody set."""

    @contextmanager
    def way(_: Bench) -> Iterator[None]:
        try:
            control(op="edit-config", vmid=vmid, set=keys, delete=list(delete))
            yield
        finally:
            put_back()

    return way


def controlled(**request: object) -> Way:
    """A change in the simulator's state that no call can make."""

    @contextmanager
    def way(_: Bench) -> Iterator[None]:
        try:
            control(**request)
            yield
        finally:
            put_back()

    return way


def backed_up_in_vain(vmid: int) -> Way:
    """One more backup was tried, and its task failed."""

    @contextmanager
    def way(_: Bench) -> Iterator[None]:
        try:
            control(op="fault", kind="task-fail", task="vzdump", text="job errors")
            assert end_of_task(as_root("POST", f"{NODE}/vzdump", vmid=str(vmid), storage="local")) == "job errors"
            yield
        finally:
            control(op="clear-faults")  # where no task came to meet it
            put_back()

    return way


def archived(vmid: int, **request: object) -> Way:
    """The newest backup of a VM is gone, or is another one than it was."""

    @contextmanager
    def way(bench: Bench) -> Iterator[None]:
        kept = as_root("GET", f"{NODE}/storage/local/content?content=backup&vmid={vmid}")
        newest = max(kept, key=lambda one: one["ctime"])
        with controlled(volid=newest["volid"], **request)(bench):
            yield

    return way


def answered(path: str, patch: object) -> Way:
    """PVE's API tells of something that the lab's hypervisor cannot have."""
    fault = {"kind": "answer", "method": "GET", "path": f"^{path}$", "patch": patch, "times": -1}

    @contextmanager
    def way(_: Bench) -> Iterator[None]:
        control(op="fault", **fault)
        try:
            yield
        finally:
            control(op="take-back", **fault)

    return way


# --- on the machines -----------------------------------------------------------------------------------------------


def ran(host: str, script: str, mend: str) -> Way:
    @contextmanager
    def way(_: Bench) -> Iterator[None]:
        try:
            run(host, script)
            yield
        finally:
            run(host, mend)

    return way


def written(host: str, path: str, text: str, *, then: str = "true") -> Way:
    """A file that was not there, or has another text."""
    return _rewritten(host, path, lambda _: text, then)


def taken(host: str, path: str, other: str, path_there: str) -> Way:
    """A file with what another host has in one of its own."""
    return _rewritten(host, path, lambda _: (root(other) / path_there.lstrip("/")).read_text(), "true")


def removed(host: str, path: str, *, then: str = "true") -> Way:
    return _rewritten(host, path, lambda _: None, then)


def edited(host: str, path: str, pattern: str, new: str, *, then: str = "true") -> Way:
    """The lines of a file that match the pattern, changed; at least one must."""

    def change(text: str | None) -> str:
        assert text is not None, f"{host} has no {path}"
        changed, count = re.subn(pattern, new, text, flags=re.M)
        assert count, f"{path} of {host} has nothing like {pattern}"
        return changed

    return _rewritten(host, path, change, then)


def _rewritten(host: str, path: str, change: Callable[[str | None], str | None], then: str) -> Way:
    @contextmanager
    def way(_: Bench) -> Iterator[None]:
        file = root(host) / path.lstrip("/")
        # A link to an absolute path leads out of the machine, into the file system of this one.
        assert not (file.is_symlink() and file.readlink().is_absolute()), f"{path} of {host} leads elsewhere"
        before = file.read_text() if file.exists() else None
        try:
            _write(file, change(before))
            run(host, then)
            yield
        finally:
            _write(file, before)
            run(host, then)

    return way


def _write(file: Path, text: str | None) -> None:
    """In place: what is mounted elsewhere from this file stays this file."""
    if text is None:
        file.unlink()
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def while_stopped(host: str, unit: str, *ways: Way) -> Way:
    """Steps that a program would not see, or undo, while it runs."""
    start = f"systemctl reset-failed {unit} || systemctl cat {unit} >/dev/null; systemctl start {unit}"

    @contextmanager
    def way(bench: Bench) -> Iterator[None]:
        with ExitStack() as stack:
            run(host, f"systemctl stop {unit}")
            stack.callback(run, host, start)
            for each in ways:
                stack.enter_context(each(bench))
            stack.callback(run, host, f"systemctl stop {unit}")
            run(host, start)
            yield

    return way


# --- in what is declared -------------------------------------------------------------------------------------------


def declared(*edits: Edit) -> Way:
    """Another inventory, on a copy."""

    @contextmanager
    def way(bench: Bench) -> Iterator[None]:
        folder = copied(bench, *edits)
        with bench.using(inventory=folder, contract=open_contract(folder, SITE)):
            yield

    return way


def declared_unread(*edits: Edit) -> Way:
    """What the inventory's own check would refuse: it changed after the contract was read."""

    @contextmanager
    def way(bench: Bench) -> Iterator[None]:
        with bench.using(inventory=copied(bench, *edits)):
            yield

    return way


def agreed(change: Callable[[Contract], Contract]) -> Way:
    """A contract that no inventory can say, because its own check refuses it."""

    @contextmanager
    def way(bench: Bench) -> Iterator[None]:
        with bench.using(contract=change(bench.contract)):
            yield

    return way


def guest_agreed(name: str, **changes: Any) -> Way:
    """A contract in which one guest is another than any inventory can say."""

    def change(contract: Contract) -> Contract:
        guests = (replace(guest, **changes) if guest.name == name else guest for guest in contract.guests)
        return replace(contract, guests=tuple(guests))

    return agreed(change)


def copied(bench: Bench, *edits: Edit) -> Path:
    """A copy of the inventory folder with these edits."""
    folder = bench.scratch / f"inventory-{next(COPIES)}"
    shutil.copytree(bench.inventory, folder)
    for name, old, new in edits:
        file = folder / SITE / name
        text = file.read_text()
        assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
        file.write_text(text.replace(old, new))
    return folder


# --- in what was recorded ------------------------------------------------------------------------------------------


def drilled(name: str, **changes: Any) -> Way:
    """The last drill of that name went otherwise."""

    @contextmanager
    def way(bench: Bench) -> Iterator[None]:
        state = bench.contract.state_dir
        before = read_record(state, name)
        assert before is not None
        write_record(state, replace(before, **changes))
        try:
            yield
        finally:
            write_record(state, before)

    return way


def record_good_drills(contract: Contract) -> None:
    """Every drill was good, a moment ago."""
    now = datetime.now(UTC)
    for name, drill in DRILLS.items():
        record = Record(name, drill.clause, contract.site, now, "good", "good", ended=now, seconds=1.0, last_good=now)
        write_record(contract.state_dir, record)
