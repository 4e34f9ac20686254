"""What this machine and container may use."""
