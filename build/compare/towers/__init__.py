"""Comparison of containers that embed texts and images, tower by tower."""
