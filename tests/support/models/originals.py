"""The originals that vectors are compared with: sentence-transformers, or the class of transformers that pools."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from tests.support.models.tiny_description import TinyModel
from tests.support.models.tiny_tokenizers import WORD

TOLERANCE = 1e-5


class Original(Protocol):
    """A model as its own library runs it."""

    max_seq_length: int

    def embed(self, text: str, prompt: str | None = "", task: str | None = None) -> NDArray[np.float32]:
        """Embed one text alone. ``prompt`` None means the model's default."""

    @property
    def tokenizer(self) -> Any: ...


class ThroughSentenceTransformers:
    """A model that sentence-transformers loads."""

    def __init__(self, directory: Path, trust: bool) -> None:
        self.model = SentenceTransformer(
            str(directory),
            device="cpu",
            local_files_only=True,
            trust_remote_code=trust,
            model_kwargs={"dtype": "float32"},
        )

    @property
    def max_seq_length(self) -> int:
        return self.model.max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, value: int) -> None:
        self.model.max_seq_length = value

    @property
    def tokenizer(self) -> Any:
        return self.model.tokenizer

    def embed(self, text: str, prompt: str | None = "", task: str | None = None) -> NDArray[np.float32]:
        # NOTE: a text without any token has a tensor only in a batch with another text.
        texts = [text] if self.tokenizer((prompt or "") + text)["input_ids"] else [text, WORD]
        return self.model.encode(texts, prompt=prompt, task=task)[0]


class Dpr:
    """A network of transformers whose ``pooler_output`` is the vector."""

    def __init__(self, directory: Path, architecture: str) -> None:
        self.network = getattr(transformers, architecture).from_pretrained(directory, local_files_only=True).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True)
        self.max_seq_length = self.tokenizer.model_max_length

    def embed(self, text: str, prompt: str | None = "", task: str | None = None) -> NDArray[np.float32]:
        inputs = self.tokenizer(text, truncation=True, max_length=self.max_seq_length, return_tensors="pt")
        with torch.inference_mode():
            return self.network(**inputs).pooler_output[0].numpy()


def original_of(model: TinyModel, directory: Path) -> Original:
    """Load the original of a tiny model."""
    if model.family == "dpr":
        return Dpr(directory, model.architecture)
    return ThroughSentenceTransformers(directory, trust=model.family == "nomic_bert")


def assert_same_vector(served: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    """Allow a difference of 1e-5, relative to the largest component where it is above 1."""
    assert served.shape == expected.shape
    difference = np.abs(served.astype(np.float64) - expected.astype(np.float64)).max()
    assert difference <= TOLERANCE * max(1.0, float(np.abs(expected).max()))
