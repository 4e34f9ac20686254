"""Paths that are more than an endpoint's own affair."""

OPEN_PREFIX = "/.well-known/"
"""Probes: they need no token, and do not count as requests while the server drains."""

META_PATH = "/meta"
METRICS_PATH = "/metrics"
OPENAPI_PATH = "/openapi.json"
HEALTH_PATH = "/health"
LIVE_PATH = f"{OPEN_PREFIX}live"
READY_PATH = f"{OPEN_PREFIX}ready"

COMMON_PATHS = (META_PATH, METRICS_PATH, OPENAPI_PATH, HEALTH_PATH, LIVE_PATH, READY_PATH)
"""What every server has, whatever the kind of its model."""
