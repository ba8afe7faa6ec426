"""Assert the contract of one site: run its specs, judge each clause, tell the user."""

from __future__ import annotations

from harness.verify.options import VerifyOptions

__all__ = ["VerifyOptions"]
