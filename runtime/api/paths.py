"""Paths that are more than an endpoint's own affair."""

OPEN_PREFIX = "/.well-known/"
"""Probes: they need no token, and do not count as requests while the server drains."""
