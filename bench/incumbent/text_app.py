"""Serves the quantized model as Weaviate's t2v-transformers does: FastAPI, optimum, transformers, pooling in torch."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from fastapi import FastAPI, Response
from optimum.onnxruntime import ORTModelForFeatureExtraction
from pydantic import BaseModel
from transformers import AutoTokenizer

DIRECTORY = os.environ["MODEL_DIR"]


class VectorsRequest(BaseModel):
    """Other keys are ignored; the configuration is read and never used, as in the original."""

    text: str
    config: dict[str, Any] | None = None


class Encoder:
    """Tokenizes and encodes one text at a time, and takes the mean over its tokens."""

    def __init__(self, directory: str) -> None:
        self._model = ORTModelForFeatureExtraction.from_pretrained(directory, file_name="model_quantized.onnx")
        self._tokenizer = AutoTokenizer.from_pretrained(directory)

    def encode(self, text: str) -> list[float]:
        inputs = self._tokenizer([text], padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            tokens = self._model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1).to(tokens.dtype)
            mean = (tokens * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=1)[0].tolist()


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
    vector = await asyncio.get_running_loop().run_in_executor(pool, encoder.encode, request.text)
    return {"text": request.text, "vector": vector, "dim": len(vector)}
