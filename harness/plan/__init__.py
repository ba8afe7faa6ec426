"""Decide what `provision` would do: pure, from the contract and what was observed."""

from harness.plan.changes import Change, CloneChoice, Difference, Plan, Refusal
from harness.plan.diff import diff
from harness.plan.marks import Provenance, parse_provenance

__all__ = ["Change", "CloneChoice", "Difference", "Plan", "Provenance", "Refusal", "diff", "parse_provenance"]
