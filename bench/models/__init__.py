"""Times whole models in process, ids in and token embeddings out: ``python -m bench.models --help``."""
