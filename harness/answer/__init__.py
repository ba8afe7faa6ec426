"""The installer's answer file of PVE 8.4: its tables, its rules, and its text."""

from __future__ import annotations

from harness.answer.checking import check_answer, read_answer
from harness.answer.rendering import render_answer
from harness.answer.tables import (
    KEYBOARDS,
    Answer,
    Btrfs,
    Country,
    DiskSetup,
    FirstBoot,
    Global,
    Keyboard,
    Lvm,
    Mailto,
    Network,
    Timezone,
    Webhook,
    Zfs,
    fqdn_mistake,
)

__all__ = [
    "KEYBOARDS",
    "Answer",
    "Btrfs",
    "Country",
    "DiskSetup",
    "FirstBoot",
    "Global",
    "Keyboard",
    "Lvm",
    "Mailto",
    "Network",
    "Timezone",
    "Webhook",
    "Zfs",
    "check_answer",
    "fqdn_mistake",
    "read_answer",
    "render_answer",
]
