"""How evenly worker processes share callers, shown on any machine: the inference threads sleep instead of computing."""
