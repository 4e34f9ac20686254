"""How long tests wait for what must happen."""

PATIENCE = 1200
"""Seconds after which a wait has hung, however slow or busy the machine is."""
