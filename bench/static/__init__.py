"""Static models under load: one that is distilled for it, beside Weaviate's container of text2vec-model2vec."""
