"""Serves a static model as Weaviate's t2v-model2vec does: FastAPI, a thread pool, a cache, the package model2vec."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cachetools import TTLCache, cached
from fastapi import FastAPI, Response
from model2vec import StaticModel
from numpy.typing import NDArray
from pydantic import BaseModel

DIRECTORY = os.environ["MODEL_DIR"]
CACHED_TEXTS = 1024
CACHED_SECONDS = 600


class Config(BaseModel, frozen=True):
    """Part of the cache's key, and without effect otherwise; other keys are ignored."""

    pooling_strategy: str | None = None
    task_type: str | None = None


class VectorsRequest(BaseModel):
    text: str
    config: Config | None = None


class Encoder:
    """Embeds one text at a time, unless its vector is in the cache."""

    def __init__(self, directory: str) -> None:
        self._model = StaticModel.from_pretrained(directory)

    @cached(TTLCache(CACHED_TEXTS, CACHED_SECONDS), lock=threading.Lock())
    def encode(self, text: str, config: Config | None) -> NDArray[Any]:
        vector: NDArray[Any] = self._model.encode([text], use_multiprocessing=False)[0]
        return vector


# NOTE: Weaviate's client names no Content-Type, and recent versions of FastAPI refuse JSON without one by default.
app = FastAPI(strict_content_type=False)
encoder = Encoder(DIRECTORY)
pool = ThreadPoolExecutor()


@app.get("/.well-known/live", status_code=204)
@app.get("/.well-known/ready", status_code=204)
async def probe() -> Response:
    return Response(status_code=204)


@app.post("/vectors")
async def vectors(request: VectorsRequest) -> dict[str, Any]:
    vector = await asyncio.get_running_loop().run_in_executor(pool, encoder.encode, request.text, request.config)
    return {"text": request.text, "vector": vector.tolist(), "dim": len(vector)}
