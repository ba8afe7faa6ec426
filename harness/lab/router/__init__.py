"""A router's own API in front of a real Kea and a real unbound, for the lab: OPNsense's or VyOS's, inside the router.

It stands on Python's standard library alone and knows nothing of the client.
"""
