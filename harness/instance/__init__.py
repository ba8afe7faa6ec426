"""The nested Proxmox VM of a site while it runs: QEMU on an overlay of the golden disk, behind the lab's router."""

from harness.instance.lifecycle import down, up
from harness.instance.place import place_of, serial_log_of
from harness.instance.record import Record
from harness.instance.status import Lease, Status, status

__all__ = ["Lease", "Record", "Status", "down", "place_of", "serial_log_of", "status", "up"]
