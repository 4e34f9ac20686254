"""Describes the routes of the server that runs, as OpenAPI."""
