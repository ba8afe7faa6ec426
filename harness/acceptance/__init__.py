"""What CI runs on a site that may be made and thrown away: every command of the way, one after another, kept on file."""

from harness.acceptance.artefacts import keep_consoles, keep_journals, keep_tasks
from harness.acceptance.running import Done, Stage, run_stages
from harness.acceptance.stages import Ground, stages_of
from harness.acceptance.summary import exit_status, write_summary

__all__ = [
    "Done",
    "Ground",
    "Stage",
    "exit_status",
    "keep_consoles",
    "keep_journals",
    "keep_tasks",
    "run_stages",
    "stages_of",
    "write_summary",
]
