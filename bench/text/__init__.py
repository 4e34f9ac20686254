"""Text embedding models under load: the default model, beside Weaviate's container of text2vec-transformers."""
