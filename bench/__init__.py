"""Measures embedding servers side by side on this machine: ``python -m bench --help``."""
