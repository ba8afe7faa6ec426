"""Give the roles the harness's own decisions: what differs, as commands and as a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from harness.bootstrap import interfaces, pve_changes


def as_written(content: str, path: str) -> str:
    """How the role `repositories` reads a file with that content and mode 0644."""
    return f"644 {hashlib.sha256(content.encode()).hexdigest()}  {path}"


class FilterModule:
    """Ansible looks for this name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "acl_changes": pve_changes.acl_changes,
            "as_written": as_written,
            "derive_interfaces": interfaces.derive_interfaces,
            "job_changes": pve_changes.job_changes,
            "missing_tokens": pve_changes.missing_tokens,
            "pool_changes": pve_changes.pool_changes,
            "role_changes": pve_changes.role_changes,
            "storage_changes": pve_changes.storage_changes,
            "template_changes": pve_changes.template_changes,
            "token_changes": pve_changes.token_changes,
            "token_removals": pve_changes.token_removals,
            "user_changes": pve_changes.user_changes,
        }
