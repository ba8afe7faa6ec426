"""Proxmox VE's API as values and errors of ours: the only place that knows proxmoxer."""
