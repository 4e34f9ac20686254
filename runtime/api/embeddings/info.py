"""What the model is for those who ask in the way of text-embeddings-inference."""

from __future__ import annotations

from typing import Any

from manifest import project_version
from runtime.api.embeddings.asked import Served


def info_of(served: Served, max_tokens: int | None) -> dict[str, Any]:
    """What ``GET /info`` answers; ``max_tokens``: of a text, None: any number."""
    return {
        "model_id": served.model,
        "model_type": {"embedding": {"dim": served.dim}},
        "max_input_length": max_tokens,
        "max_client_batch_size": served.max_texts,
        "version": project_version(),
    }
