"""The original static model, which every bundle is compared with: as its own package loads and runs it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from build.errors import UnsupportedModel, first_line
from build.fidelity.requests import VectorRequest
from build.model.sentence_files import Prompts
from build.static.layout import Layout
from manifest import Reading, Task

Vectors = NDArray[np.float64]


class Original(Protocol):
    """An original that is loaded."""

    def embed(self, requests: list[VectorRequest]) -> Vectors:
        """(requests, dim): what the original returns for each text alone."""


def load_original(directory: Path, layout: Layout) -> Original:
    """Load the model with the package whose reading the layout follows. Raises ``UnsupportedModel``."""
    loaders: dict[Reading, Callable[[Path], Original]] = {
        Reading.MODEL2VEC: Model2vecModel,
        Reading.SENTENCE_TRANSFORMERS: SentenceModel,
    }
    try:
        return loaders[layout.reading](directory)
    except Exception as error:  # NOTE: tokenizers raises bare Exception.
        raise UnsupportedModel(f"{layout.reading} cannot load the model: {first_line(error)}") from error


class Model2vecModel:
    """Implements ``Original`` with the package model2vec."""

    def __init__(self, directory: Path) -> None:
        from model2vec import StaticModel

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # NOTE: it leaves the config's file open.
            self._model = StaticModel.from_pretrained(directory)

    def embed(self, requests: list[VectorRequest]) -> Vectors:
        # NOTE: one at a time, because an empty text widens the numbers of all that are encoded with it.
        return np.stack([self._model.encode([request.text])[0].astype(np.float64) for request in requests])


class SentenceModel:
    """Implements ``Original`` with the package sentence-transformers, in fp32."""

    def __init__(self, directory: Path) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(str(directory), device="cpu", local_files_only=True).float()

    def embed(self, requests: list[VectorRequest]) -> Vectors:
        vectors = [
            self._model.encode(request.text, prompt=self._prompt(request), show_progress_bar=False)
            for request in requests
        ]
        return np.stack(vectors).astype(np.float64)

    def _prompt(self, request: VectorRequest) -> str:
        """The text to prepend. An empty one, unlike None, keeps the default prompt out."""
        declared = Prompts(dict(self._model.prompts), self._model.default_prompt_name, None)
        task: Task | None = request.task
        name = request.prompt_name or (declared.default if task is None else declared.tasks().get(task))
        return "" if name is None else declared.prompts.get(name, "")
