"""Requests for the vectors of many texts, in the shapes of the APIs that clients speak."""
