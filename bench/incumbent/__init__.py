"""Re-implements the server that this project replaces.

Runs in an environment of its own, and imports nothing of this project.
"""
