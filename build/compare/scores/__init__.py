"""Compares rerankers: the user's own queries with documents, their scores by both containers, and a verdict."""
