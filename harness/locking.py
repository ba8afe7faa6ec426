"""Let one run at a time change a site, from this machine or any other; a lock ends with its run, however that ends."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shlex
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from harness.contract import Contract
from harness.errors import HarnessError, Refused, Unsafe

# On the hypervisor, for runs from other machines and other checkouts; it lasts as long as the SSH connection.
NODE_LOCK = "/run/mgmt-harness.lock"
_HOLD = """exec 9>>{lock} || exit
if flock -n 9; then printf '%s\\n' {who} >{lock}; echo held; cat >/dev/null; : >{lock}
else echo "taken $(cat {lock})"; fi"""
# How long one who no longer needs a lock waits for it to be let go of.
GOODBYE_S = 2.0

Note = Callable[[str], None]
Hold = Callable[[str], AbstractContextManager[str]]  # runs a command on the hypervisor until it is left; its first line


@contextmanager
def run_lock(contract: Contract, hold: Hold | None, note: Note) -> Iterator[None]:
    """The site's lock here and the hypervisor's own; `note` hears it when the second could not be taken."""
    with site_lock(contract.state_dir, contract.site), ExitStack() as stack:
        if hold is not None:
            _take_node(contract, hold, stack, note)
        yield


class EarlyLock:
    """A lock that is being taken while its holder-to-be does other things; held, or dropped when it is not needed.

    It lives in a thread of its own, which lets go also when it only gets the lock after it was dropped.
    """

    def __init__(self, take: Callable[[Note], AbstractContextManager[None]]) -> None:
        self._notes: list[str] = []
        self._known, self._over = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._keep, args=(take,), daemon=True, name="lock")
        self._thread.start()

    @contextmanager
    def held(self, note: Note) -> Iterator[None]:
        """Once it is taken; what went wrong with that is raised here, and noted."""
        self._known.wait()
        self._raise()
        for said in self._notes:
            note(said)
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()
        self._raise()

    def drop(self) -> None:
        self._over.set()
        self._thread.join(GOODBYE_S)

    def _keep(self, take: Callable[[Note], AbstractContextManager[None]]) -> None:
        try:
            with take(self._notes.append):
                self._known.set()
                self._over.wait()
        except BaseException as error:  # raised again by whoever needs the lock
            self._error = error
        finally:
            self._known.set()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def _take_node(
    contract: Contract,
    hold: Hold,
    stack: ExitStack,
    note: Note,
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
