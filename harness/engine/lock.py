"""Let one run at a time change a site, from this machine or any other; a lock ends with its run, however that ends."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shlex
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from harness.contract import Contract
from harness.engine.looks import GuestLooks
from harness.errors import HarnessError, Refused, Unsafe

# On the hypervisor, for runs from other machines and other checkouts; it lasts as long as the SSH connection.
NODE_LOCK = "/run/mgmt-harness.lock"
_HOLD = """exec 9>>{lock} || exit
if flock -n 9; then printf '%s\\n' {who} >{lock}; echo held; cat >/dev/null; : >{lock}
else echo "taken $(cat {lock})"; fi"""


@contextmanager
def run_lock(contract: Contract, looks: GuestLooks, note: Callable[[str], None]) -> Iterator[None]:
    """The site's lock here and the hypervisor's own; `note` hears it when the second could not be taken."""
    with site_lock(contract.state_dir, contract.site), ExitStack() as stack:
        if looks.hold is not None:
            _take_node(contract, looks.hold, stack, note)
        yield


def _take_node(
    contract: Contract,
    hold: Callable[[str], AbstractContextManager[str]],
    stack: ExitStack,
    note: Callable[[str], None],
) -> None:
    who = shlex.quote(_said(_myself()))
    try:
        said = stack.enter_context(hold(_HOLD.format(lock=shlex.quote(NODE_LOCK), who=who)))
    except HarnessError as error:  # the API may be there without SSH
        note(f"a run from another machine at the same time would not be noticed: {error}")
        return
    if said.startswith("taken"):
        raise Unsafe(
            tried="change the site",
            on=f"{contract.site} ({contract.hypervisor.name})",
            happened=f"another run is at work ({said.removeprefix('taken').strip() or 'it has not said whose'})",
            do=f"Wait until it has ended (if its machine is gone for good: `fuser -k {NODE_LOCK}` on the node), then "
            "run the same command again",
        )


@contextmanager
def site_lock(state_dir: Path, site: str) -> Iterator[None]:
    path = state_dir / "provision.lock"
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(
            tried="lock the site",
            on=site,
            happened=str(error),
            do="Make the state folder writable (MGMT_HARNESS_STATE names another one)",
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unsafe(
                tried="change the site",
                on=site,
                happened=f"another run is at work ({_holder(path)})",
                do="Wait until it has ended, then run the same command again",
            ) from error
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps(_myself()).encode())
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _myself() -> dict[str, str | int]:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return {"who": _user(), "host": socket.gethostname(), "pid": os.getpid(), "since": since}


def _user() -> str:
    """Who typed the command, also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without a name, as in containers
        return f"uid {os.getuid()}"


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
    except (OSError, ValueError):  # it is writing its name at this very moment
        return f"see {path}"
    return _said(holder)


def _said(holder: Mapping[str, str | int]) -> str:
    return f"{holder['who']} on {holder['host']}, process {holder['pid']}, since {holder['since']}"
