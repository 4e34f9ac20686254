"""Compares a bundle with a running container: ``python -m build.compare --help``."""
