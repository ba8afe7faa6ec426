"""Keep what a site that is about to be thrown away can still tell: consoles, journals, and the logs of PVE's tasks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.acceptance.summary import SUMMARY_JSON, SUMMARY_MD, write_summary
from harness.contract import Contract
from harness.errors import HarnessError, Refused, Unsafe
from harness.pve.upid import parse_upid, read_log
from harness.remote import ssh
from harness.site import open_reader

NOT_ENDED = "the run has not ended, or was killed: these are not all of its artefacts"
TASKS_KEPT = 500
JOURNAL = "journalctl --no-pager --boot --lines=5000 --output=short-precise"
JOURNAL_S = 60.0


def take_folder(folder: Path, site: str) -> Path:
    """Empty, for this run alone; Unsafe when it holds something else than an earlier run's artefacts."""
    try:
        _empty(folder, site)
    except OSError as error:
        raise Refused(
            tried="keep the artefacts",
            on=str(folder),
            happened=f"it cannot be used ({error.strerror})",
            do="Name a folder that can be written: --artifacts DIR",
        ) from error
    return folder.resolve()


def _empty(folder: Path, site: str) -> None:
    found = list(folder.iterdir()) if folder.exists() else []
    if found and folder / SUMMARY_JSON not in found:
        raise Unsafe(
            tried="keep the artefacts",
            on=str(folder),
            happened="it holds files that are no artefacts of an earlier run; nothing was changed",
            do="Name an empty folder: --artifacts DIR",
        )
    folder.mkdir(parents=True, exist_ok=True)
    # A run that is killed, even here, leaves a summary: by it the next one knows whose files these are.
    write_summary(folder, site, [], [NOT_ENDED], has_ended=False)
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in (SUMMARY_JSON, SUMMARY_MD):
            path.unlink()


def keep_consoles(files: Iterable[Path], folder: Path) -> None:
    """Copies of the files that exist, named after the folder each lies in."""
    for file in files:
        if file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / f"{file.parent.name}-{file.name}")


def keep_journals(contract: Contract, folder: Path) -> Iterator[str]:
    """What hypervisor and router have in their journals; a sentence for each that could not be read."""
    logins = [ssh.hypervisor_login(contract)]
    if contract.router.ssh is not None:
        logins.append(ssh.router_login(contract))
    with ssh.connections(logins) as opened:
        for login in logins:
            try:
                told = ssh.run(opened, login.name, JOURNAL, timeout_s=JOURNAL_S)
            except HarnessError as error:
                yield f"no journal of {login.name}: {error}"
                continue
            if told.succeeded:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{login.name}-journal.log").write_text(told.stdout)
            else:
                yield f"no journal of {login.name}: {told.stderr.strip() or f'the command ended with {told.rc}'}"


def keep_tasks(contract: Contract, folder: Path) -> Iterator[str]:
    """PVE's tasks with their logs, the newest first; a sentence when they could not be read."""
    try:
        client = open_reader(contract)
        tasks = client.get(f"/nodes/{contract.hypervisor.node}/tasks", {"limit": TASKS_KEPT})
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tasks.json").write_text(json.dumps(tasks, indent=1))
        for number, task in enumerate(tasks, 1):
            upid = parse_upid(task["upid"])
            name = f"{number:03}-{upid.type}-{upid.id or 'node'}-{_ending(task.get('status'))}.log"
            (folder / name).write_text("\n".join((upid.text, *read_log(client, upid))) + "\n")
    except HarnessError as error:
        yield f"no task logs: {error}"


def _ending(status: object) -> str:
    """`ok`, or that it was not."""
    return "ok" if status == "OK" else "running" if status is None else "failed"
