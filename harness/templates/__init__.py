"""Bring templates to the hypervisor, prove on a scratch clone that they are fit, and list them."""

from harness.templates.bench import AgentLooks, Bench, real_agent
from harness.templates.bringing import Outcome, bring, examine
from harness.templates.factory import build
from harness.templates.listing import Row, list_templates

__all__ = ["AgentLooks", "Bench", "Outcome", "Row", "bring", "build", "examine", "list_templates", "real_agent"]
