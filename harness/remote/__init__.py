"""Reach hosts and guests over SSH with pinned host keys."""
