"""Serves a bundle over HTTP: the only code that the image carries."""
