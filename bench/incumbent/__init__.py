"""Replays what people run today: runs in an environment of its own, and imports nothing of this project."""
