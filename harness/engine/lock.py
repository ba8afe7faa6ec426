"""Let one run at a time change a site from this machine; the lock ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from harness.errors import Refused, Unsafe


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
    return f"{holder['who']} on {holder['host']}, process {holder['pid']}, since {holder['since']}"
