"""Read a run back from its JSON, so that a report can be made again, or compared, long after."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from harness.errors import Invalid, Missing
from harness.report.model import FORMAT, Overall, Report

T = TypeVar("T")
HEAD_BYTES, END = 4096, b"}\n"


@dataclass(frozen=True)
class Run:
    """What a list of runs tells of one: read without its clauses and their evidence."""

    format: int
    site: str
    verdict: Overall
    counts: Mapping[str, int]
    started_at: datetime
    seconds: float


def read_run(file: Path) -> Run:
    """The head of a run."""
    run = _head(file, _stamp(file))
    if run.format != FORMAT:
        raise _unreadable(file, f"it has format {run.format}, and this tool reads {FORMAT}")
    return run


def read_report(file: Path) -> Report:
    """The whole run, with its evidence."""
    read_run(file)
    return _parse(file, _report())


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What changes whenever the file does."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@lru_cache(maxsize=256)  # a run looks at all earlier ones twice
def _head(file: Path, _: tuple[int, int, int] | None) -> Run:
    return _from_beginning(file) or _parse(file, _run())


def _from_beginning(file: Path) -> Run | None:
    """As verify writes it, a run's head comes before its megabyte of evidence. None for what has to be read whole."""
    try:
        with file.open("rb") as text:
            beginning = text.read(HEAD_BYTES)
            text.seek(-len(END), os.SEEK_END)
            if text.read() != END:
                return None
        *whole, _ = from_json(beginning, allow_partial=True).items()  # the last one may be cut off
        return _run().validate_python(dict(whole))
    except (OSError, ValueError, AttributeError):  # no file, no JSON, no object, or in another order
        return None


@cache
def _run() -> TypeAdapter[Run]:
    return TypeAdapter(Run)


@cache
def _report() -> TypeAdapter[Report]:
    return TypeAdapter(Report)


def _parse(file: Path, kind: TypeAdapter[T]) -> T:
    try:
        return kind.validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise Missing(
            tried="read a run",
            on=str(file),
            happened="there is no such file",
            do="Name one that report --list shows",
        ) from error
    except OSError as error:
        raise Invalid(
            tried="read a run", on=str(file), happened=error.strerror or str(error), do="Make the file readable"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _unreadable(file, f"{where}: {first['msg']}" if where else str(first["msg"])) from error


def _unreadable(file: Path, why: str) -> Invalid:
    return Invalid(
        tried="read a run",
        on=str(file),
        happened=f"it is no result of verify that can be read here ({why})",
        do="Name a file that verify --json of this version wrote",
    )
