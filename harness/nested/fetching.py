"""Bring the installer's ISO here, going on where a download broke off, and prove by its SHA-256 that it is the one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from harness.contract import Iso
from harness.errors import HarnessError, Invalid, Missing, Unreachable
from harness.nested.spec import Progress

TRIED = "fetch the installer's ISO"
CHUNK = 1 << 20
TIMEOUT_S = (10.0, 60.0)
CONNECTING = Retry(total=None, connect=3, read=0, redirect=5, status=0, backoff_factor=0.5)
BROKEN_OFF = 5  # times in a row without a byte more
SECTOR = 2048
DESCRIPTOR = 16 * SECTOR


def obtain(iso: Iso, folder: Path, progress: Progress) -> Path:
    """The ISO as a file here, its checksum proven."""
    if iso.file is not None:
        _require_file(iso.file)
        _prove(iso.file, iso, progress)
        return iso.file
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / f"{iso.sha256[:12]}-{_name(iso)}"
    if not kept.exists():
        _download_proven(iso, kept, progress)
    else:
        _prove(kept, iso, progress)
    return kept


def _name(iso: Iso) -> str:
    return unquote(Path(urlsplit(iso.url or "").path).name) or "installer.iso"


def _require_file(file: Path) -> None:
    if not file.is_file():
        raise Missing(
            tried=TRIED,
            on=str(file),
            happened="there is no such file",
            do="Put the ISO there, or correct mgmt_nested.iso",
        )


def _download_proven(iso: Iso, kept: Path, progress: Progress) -> None:
    part = kept.with_name(f"{kept.name}.part")
    went_on = part.exists()
    _download(iso.url or "", part, progress)
    try:
        _prove(part, iso, progress)
    except Invalid:
        part.unlink()
        if not went_on:
            raise
        progress.say("What was there of the ISO does not belong to it: fetching all of it")
        _download(iso.url or "", part, progress)
        _prove(part, iso, progress)
    part.replace(kept)


def _download(url: str, part: Path, progress: Progress) -> None:
    """All of it; when the connection breaks, the rest is asked for."""
    progress.say(f"Fetching {url}")
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=CONNECTING))
        in_a_row = 0
        while True:
            before = _size(part)
            try:
                return _go_on(session, url, part, progress)
            except requests.HTTPError as error:
                raise _refused(url, error) from error
            except requests.RequestException as error:
                in_a_row = 0 if _size(part) > before else in_a_row + 1
                if in_a_row == BROKEN_OFF:
                    raise _broken_off(url, part, error) from error


def _go_on(session: requests.Session, url: str, part: Path, progress: Progress) -> None:
    had = _size(part)
    asked = {"Accept-Encoding": "identity", **({"Range": f"bytes={had}-"} if had else {})}
    with session.get(url, headers=asked, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # nothing is left to send; the checksum says whether that is so
        answer.raise_for_status()
        if answer.status_code != requests.codes.partial_content:
            had = 0
        length = answer.headers.get("Content-Length")
        whole = had + int(length) if length else None
        _refuse_full(part.parent, (whole or 0) - had)
        with part.open("ab" if had else "wb") as file:
            for done in _write(file, answer, had):
                if whole:
                    progress.share("ISO", done / whole)
        if whole and _size(part) < whole:
            raise requests.ConnectionError(f"{_size(part)} of {whole} bytes came")


def _write(file: BinaryIO, answer: requests.Response, done: int) -> Iterator[int]:
    for chunk in answer.iter_content(CHUNK):
        file.write(chunk)
        done += len(chunk)
        yield done


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _refuse_full(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise Missing(
            tried=TRIED,
            on=str(folder),
            happened=f"{needed >> 20} MiB are to come, and {free >> 20} MiB are free",
            do="Free space there",
        )


def _refused(url: str, error: requests.HTTPError) -> HarnessError:
    return Unreachable(
        tried=TRIED,
        on=url,
        happened=f"the server answered {error.response.status_code} {error.response.reason}",
        do="Correct mgmt_nested.iso.url, or put the ISO there",
    )


def _broken_off(url: str, part: Path, error: Exception) -> HarnessError:
    return Unreachable(
        tried=TRIED,
        on=url,
        happened=f"{error}; {_size(part) >> 20} MiB of it are kept in {part}",
        do="Run the same command again: it goes on from there",
    )


def _prove(file: Path, iso: Iso, progress: Progress) -> None:
    digest, size, done = hashlib.sha256(), _size(file), 0
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress.share("SHA-256 of the ISO", done / size)
    found = digest.hexdigest()
    if found == iso.sha256:
        return
    happened = _cut_off(file, size) or f"its SHA-256 is {found}, declared is {iso.sha256}"
    raise Invalid(
        tried="check the installer's ISO",
        on=iso.source,
        happened=happened,
        do="Fetch it anew, or correct mgmt_nested.iso.sha256 after comparing it with what its maker publishes",
    )


def _cut_off(file: Path, size: int) -> str | None:
    """An ISO says how long it is: one that is shorter did not arrive whole."""
    with file.open("rb") as opened:
        opened.seek(DESCRIPTOR)
        descriptor = opened.read(SECTOR)
    if descriptor[1:6] != b"CD001":
        return None if size > DESCRIPTOR else f"it is no ISO, or cut off at its very beginning: {size} bytes are there"
    whole = int.from_bytes(descriptor[80:84], "little") * SECTOR
    return f"it is cut off: {size} of {whole} bytes are there" if size < whole else None
