"""Serves a reranker as Weaviate's reranker-transformers does: FastAPI, a lock, sentence-transformers' CrossEncoder."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI, Response
from pydantic import BaseModel
from sentence_transformers.cross_encoder import CrossEncoder

DIRECTORY = os.environ["MODEL_DIR"]


class RerankRequest(BaseModel):
    query: str
    documents: list[str]
    property: str | None = None


class DocumentScore(BaseModel):
    document: str
    score: float


class RerankAnswer(BaseModel):
    query: str
    scores: list[DocumentScore]
    property: str | None = None
    score: float | None = None


class Ranker:
    """Scores the documents of one request at a time, in padded batches of 32."""

    def __init__(self, directory: str) -> None:
        self._model = CrossEncoder(directory, device="cpu")
        self._lock = threading.Lock()

    def rank(self, request: RerankRequest) -> RerankAnswer:
        with self._lock:
            scores = self._model.predict([[request.query, document] for document in request.documents])
        pairs = zip(request.documents, scores, strict=True)
        listed = [DocumentScore(document=document, score=score) for document, score in pairs]
        return RerankAnswer(query=request.query, scores=listed)


app = FastAPI()
ranker = Ranker(DIRECTORY)
pool = ThreadPoolExecutor()


@app.get("/.well-known/live", status_code=204)
@app.get("/.well-known/ready", status_code=204)
async def probe() -> Response:
    return Response(status_code=204)


@app.post("/rerank")
async def rerank(request: RerankRequest) -> RerankAnswer:
    return await asyncio.get_running_loop().run_in_executor(pool, ranker.rank, request)
