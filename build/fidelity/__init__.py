"""How close a bundle is to its original, and the report on it."""
