"""Assert the contract of one site: run its specs, judge each clause, tell the user."""

from __future__ import annotations

from harness.verify.run import VerifyOptions, main, run_verify

__all__ = ["VerifyOptions", "main", "run_verify"]
