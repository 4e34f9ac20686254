"""Processes: the master under gunicorn, the worker, their signals and ends."""
