"""Verifies rerankers: held-out queries with documents, figures of their scores, and the gate."""
