"""Accept the whole way on a site that is made for it and thrown away: each command in turn, and all of it on file."""

from harness.acceptance.artefacts import keep_consoles, keep_journals, keep_tasks, take_folder
from harness.acceptance.running import Done, Stage, run_stage, run_stages
from harness.acceptance.stages import Ground, down_of, stages_of
from harness.acceptance.summary import exit_status, write_summary

__all__ = [
    "Done",
    "Ground",
    "Stage",
    "down_of",
    "exit_status",
    "keep_consoles",
    "keep_journals",
    "keep_tasks",
    "run_stage",
    "run_stages",
    "stages_of",
    "take_folder",
    "write_summary",
]
