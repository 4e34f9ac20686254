"""Puts servers under load."""
