"""A model's files: found, fetched and described. Loads no network."""
