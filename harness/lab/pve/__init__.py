"""Imitate the HTTP API of Proxmox VE 8.4.1 for the lab."""
