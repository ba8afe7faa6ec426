"""Measurements of whole commands, run by hand."""
