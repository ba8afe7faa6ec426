"""Print the inventory that a live hypervisor would need: what is declared stands, what contradicts it is marked."""

from __future__ import annotations

from harness.importing.found import Found, read_hypervisor
from harness.importing.imported import Imported, import_site
from harness.importing.known import Known, known_site, new_site

__all__ = ["Found", "Imported", "Known", "import_site", "known_site", "new_site", "read_hypervisor"]
