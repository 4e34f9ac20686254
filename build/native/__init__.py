"""Lowers encoders to the project's own ops."""
