"""Requests of many texts: their groups, the jobs of a group, and the vectors in order."""
