"""Turns one checked request into one vector: prompt, tokens, inference, pooling. Knows nothing of HTTP or queues."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from manifest import TextModel
from runtime.embed_request import EmbedRequest
from runtime.engine import Engine
from runtime.errors import InferenceFailed
from runtime.pool import normalize, pool, truncate
from runtime.token_batch import TokenBatch
from runtime.tokenizer import Tokenizer


class Embedder:
    """Thread-safe; a call holds its thread until the vector is there."""

    def __init__(self, model: TextModel, tokenizer: Tokenizer, engine: Engine) -> None:
        self._model, self._tokenizer, self._engine = model, tokenizer, engine

    def embed(self, request: EmbedRequest, cores: int) -> NDArray[np.float32]:
        """(dim,) or (dimensions,) float32. Raises ``InferenceFailed``, also for a vector that is not finite."""
        ids = self._tokenizer.encode(request.prompt + request.text)
        tokens = self._engine.run(TokenBatch.of(ids), cores)
        vector = truncate(pool(tokens, request.pooling), request.dimensions)
        if self._model.normalize:
            vector = normalize(vector)
        if not np.isfinite(vector).all():
            raise InferenceFailed("the model returned a vector that is not finite")
        return np.ascontiguousarray(vector)
