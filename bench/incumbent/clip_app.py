"""Serves texts and images as Weaviate's multi2vec-clip does: FastAPI, a lock, sentence-transformers twice."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from PIL import Image
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

DIRECTORY = os.environ["MODEL_DIR"]


class VectorizeRequest(BaseModel):
    texts: list[str] = []
    images: list[str] = []


class Towers:
    """Embeds the texts or the images of one request at a time, in batches; images are decoded in their turn."""

    def __init__(self, directory: str) -> None:
        # NOTE: two models are loaded even where both are the same.
        self._images = SentenceTransformer(directory, device="cpu")
        self._texts = SentenceTransformer(directory, device="cpu")
        self._lock = threading.Lock()

    def vectorize(self, request: VectorizeRequest) -> dict[str, Any]:
        texts: list[Any] = []
        images: list[Any] = []
        if request.texts:
            with self._lock:
                texts = self._texts.encode(request.texts, convert_to_tensor=True).tolist()
        if request.images:
            with self._lock:
                pictures = [read_image(image) for image in request.images]
                images = self._images.encode(pictures, convert_to_tensor=True).tolist()
        return {"textVectors": texts, "imageVectors": images}


def read_image(data: str) -> Image.Image:
    """In RGB; what is transparent keeps its color."""
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    return picture if picture.mode == "RGB" else picture.convert("RGB")


app = FastAPI()
towers = Towers(DIRECTORY)
pool = ThreadPoolExecutor()


@app.get("/.well-known/live", status_code=204)
@app.get("/.well-known/ready", status_code=204)
async def probe() -> Response:
    return Response(status_code=204)


@app.post("/vectorize", response_model=None)
async def vectorize(request: VectorizeRequest) -> dict[str, Any] | Response:
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, towers.vectorize, request)
    except Exception as error:  # NOTE: whatever fails, one bad item fails its request with a 500, as there.
        return JSONResponse({"error": str(error)}, status_code=500)
