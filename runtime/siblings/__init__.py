"""Groups of texts that a worker has other workers of its server embed, and those that it embeds for them."""
