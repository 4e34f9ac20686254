"""Builds container images: ``python -m build.image --help``."""
