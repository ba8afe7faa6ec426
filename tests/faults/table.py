"""Every seeded fault, in the order of the contract."""

from __future__ import annotations

from tests.faults import (
    backup_faults,
    host_faults,
    identity_faults,
    network_faults,
    service_faults,
    standalone_faults,
    template_faults,
    vm_faults,
)

FAULTS = (
    *host_faults.FAULTS,
    *standalone_faults.FAULTS,
    *template_faults.FAULTS,
    *identity_faults.FAULTS,
    *network_faults.FAULTS,
    *service_faults.FAULTS,
    *vm_faults.FAULTS,
    *backup_faults.FAULTS,
)
