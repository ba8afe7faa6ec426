"""Drills: do to a site what must not hurt it, look whether it did, and leave it as it was found."""
