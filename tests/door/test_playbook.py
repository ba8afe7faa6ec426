"""ansible-playbook in front of a simulated hypervisor: what it shows, refuses and keeps to itself."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness.engine import site_lock
from harness.wait import wait_until
from tests.door.loop import NAMES, Loop, edit
from tests.door.playing import ROOT, argv, environment, play
from tests.lab.pve.served import Any  # noqa: F401
from tests.simulators import SECRETS

ALL = dict.fromkeys(sorted(NAMES), 1)
