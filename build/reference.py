"""Owns the original: the model in fp32 through sentence-transformers, which every bundle is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from build.errors import UnsupportedModel, first_line

BATCH = 16


class Reference:
    """The loaded original. Texts longer than ``max_tokens`` are truncated, as sentence-transformers does."""

    def __init__(self, directory: Path, max_tokens: int, trust_remote_code: bool) -> None:
        """Raises ``UnsupportedModel`` where sentence-transformers cannot load the model, for example its tokenizer."""
        try:
            self._model = SentenceTransformer(
                str(directory),
                device="cpu",
                local_files_only=True,
                trust_remote_code=trust_remote_code,
                model_kwargs={"torch_dtype": torch.float32, "use_safetensors": True},
            )
        except Exception as error:  # NOTE: tokenizers raises bare Exception.
            raise UnsupportedModel(f"sentence-transformers cannot load the model: {first_line(error)}") from error
        self._model.max_seq_length = max_tokens
        # NOTE: padding on the left shifts the positions of these families: a vector would depend on its batch.
        self._model.tokenizer.padding_side = "right"

    def embed(self, texts: list[str], prompt: str = "", progress: bool = False) -> NDArray[np.float32]:
        """(texts, dim) fp32 vectors. An empty ``prompt`` is none, also for a model with a default prompt."""
        vectors: NDArray[np.float32] = self._model.encode(
            texts, prompt=prompt, batch_size=BATCH, show_progress_bar=progress, convert_to_numpy=True
        )
        return vectors

    def tokenizer(self) -> Tokenizer:
        """The fast tokenizer, with lower-casing where the model asks for it, without truncation and padding."""
        tokenizer = self._model.tokenizer
        if not tokenizer.is_fast:
            raise UnsupportedModel(f"the tokenizer {type(tokenizer).__name__} has no fast form")
        if tokenizer.truncation_side != "right":
            raise UnsupportedModel("tokenizer_config.json: truncation_side is not right, which is not supported")
        fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        fast.no_truncation()
        fast.no_padding()
        return fast
