"""A query and a document to a score: pairs of texts, truncation, and the jobs of one request."""
