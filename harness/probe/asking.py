"""Run a small program of this machine, and say why an answer did not come."""

from __future__ import annotations

import subprocess

from harness import errors

SILENT = "no answer within the time limit"


def why(failure: Exception) -> str:
    if isinstance(failure, TimeoutError):
        return SILENT
    return failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)


def run_tool(argv: list[str], limit_s: float, package: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=limit_s, check=False)
    except FileNotFoundError as missing:
        raise errors.Missing(
            tried=f"run {argv[0]}",
            on="this machine",
            happened="it is not installed",
            do=f"Install the package {package}",
        ) from missing
    except subprocess.TimeoutExpired as late:
        raise errors.Unreachable(
            tried=f"run {argv[0]}",
            on=argv[-1],
            happened=f"no answer within {limit_s:g} s",
            do="Look at the network there",
        ) from late
