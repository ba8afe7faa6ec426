"""Validate and bootstrap stand-alone Proxmox VE management hypervisors."""
