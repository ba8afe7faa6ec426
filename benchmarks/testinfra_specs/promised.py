"""What the specs compare with, and pvesh."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from testinfra.host import Host

EXPECTED: dict[str, Any] = json.loads(Path(os.environ["EXPECTED"]).read_text())


def pvesh(host: Host, path: str) -> Any:
    """What the API answers, asked on the node."""
    return json.loads(host.check_output(f"pvesh get {path} --output-format json"))
