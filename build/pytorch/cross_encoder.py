"""The original reranker in fp32, which every bundle is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer

from build.errors import UnsupportedModel, first_line
from build.host.malloc import release_free_memory
from build.pytorch.reference import fast_tokenizer

BATCH_SIZE = 16

TOKEN_TYPES = "token_type_ids"
"""What the tokenizer calls the types of tokens."""


class RerankReference:
    """sentence-transformers' ``CrossEncoder``. Pairs of more than ``max_tokens`` tokens are truncated."""

    def __init__(self, directory: Path, max_tokens: int, use_safetensors: bool | None) -> None:
        """Raises ``UnsupportedModel`` where the model or its tokenizer cannot be loaded."""
        try:
            self._model = CrossEncoder(
                str(directory),
                device="cpu",
                local_files_only=True,
                model_kwargs={"torch_dtype": torch.float32, "use_safetensors": use_safetensors},
            )
        except Exception as error:  # NOTE: tokenizers raises bare Exception.
            raise UnsupportedModel(f"sentence-transformers cannot load the model: {first_line(error)}") from error
        self._model.max_seq_length = max_tokens

    def logits(self, pairs: Sequence[tuple[str, str]], progress: bool = False) -> NDArray[np.float32]:
        """(pairs,): the network's output, before any activation."""
        logits: NDArray[np.float32] = self._model.predict(
            list(pairs), batch_size=BATCH_SIZE, activation_fn=torch.nn.Identity(), show_progress_bar=progress
        )
        return logits

    @property
    def token_types(self) -> bool:
        """Whether the tokenizer tells the model which text a token belongs to."""
        return TOKEN_TYPES in self._model.tokenizer("a", "b")

    def tokenizer(self) -> Tokenizer:
        """The fast tokenizer, without truncation and padding. Raises ``UnsupportedModel``."""
        return fast_tokenizer(self._model.tokenizer)

    def release(self) -> None:
        """Return the weights' memory to the operating system. Nothing can be scored afterwards."""
        del self._model
        release_free_memory()
