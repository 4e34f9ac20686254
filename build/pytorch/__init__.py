"""The original network: the only folder that imports torch's model libraries."""
