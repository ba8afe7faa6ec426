"""Look at everything that bootstrap and provision need, before their first change, and change nothing."""

from __future__ import annotations

from harness.preflight.checks import CHECKS
from harness.preflight.model import Before, Check, Finding, Preflight, Result
from harness.preflight.run import preflight, take_preflight

__all__ = ["CHECKS", "Before", "Check", "Finding", "Preflight", "Result", "preflight", "take_preflight"]
