"""What runs in a worker process, in its engine's environment."""
