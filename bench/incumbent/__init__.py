"""Re-implements the servers that this project replaces: one application for each kind of model.

Each runs in an environment of its own, and imports nothing of this project.
"""
