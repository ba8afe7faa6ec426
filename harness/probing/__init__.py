"""Questions that only somebody on the segment can ask, asked from the hypervisor's bridge."""
