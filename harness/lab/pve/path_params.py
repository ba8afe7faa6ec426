"""The parameters that are part of a path."""

from __future__ import annotations

from . import formats
from .schema import Param, needed, text
from .vm_options import NEEDED_VMID

NODE: dict[str, Param] = {"node": needed(text(formats.node))}
VM: dict[str, Param] = NODE | {"vmid": NEEDED_VMID}
STORAGE: dict[str, Param] = NODE | {"storage": needed(text(formats.storage_id))}
