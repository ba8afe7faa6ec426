"""Carry a plan out, and everything else that changes VMs: the only writer."""
