"""What the specs compare with, and pvesh."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

Values = dict[str, Any]
EXPECTED: Values = json.loads(Path(os.environ["EXPECTED"]).read_text())
NODE = f"/nodes/{EXPECTED['node']}"
GUESTS = pytest.mark.parametrize("vm", EXPECTED["guests"], ids=lambda vm: vm["name"])
TEMPLATES = pytest.mark.parametrize("template", EXPECTED["templates"], ids=lambda one: one["name"])


def pvesh(host: Host, path: str) -> Any:
    """What the API answers, asked on the node."""
    return json.loads(host.check_output(f"pvesh get {path} --output-format json"))


def waived(clause: str) -> pytest.MarkDecorator:
    """Looked at all the same; the site has said why it may not hold."""
    return pytest.mark.xfail(clause in EXPECTED["waived"], reason=f"{clause} is waived")
