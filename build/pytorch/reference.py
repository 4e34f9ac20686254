"""Owns the original: the model in fp32, which every bundle is compared with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Router
from tokenizers import Tokenizer

from build.errors import UnsupportedModel, first_line
from build.host.malloc import release_free_memory
from build.model.describe import Description, EncoderSpec
from build.model.sentence_files import Prompts
from build.model.sentence_router import TASK_NAMES
from build.model.trust import Trust
from manifest import Task

BATCH = 16


class Reference(ABC):
    """The loaded original. Texts longer than an encoder's ``max_tokens`` are truncated."""

    @abstractmethod
    def embed(
        self, texts: list[str], prompt: str = "", task: Task | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        """(texts, dim) fp32 vectors. An empty ``prompt`` is none, also for a model with a default prompt."""

    @property
    @abstractmethod
    def prompts(self) -> Prompts:
        """What the loaded original itself declares, whatever a bundle says of it."""

    @abstractmethod
    def release(self) -> None:
        """Give the weights back to the system: nothing can be embedded any more."""

    @abstractmethod
    def _tokenizer_of(self, encoder: str) -> Any:
        """transformers' tokenizer of an encoder."""

    def tokenizer(self, encoder: str) -> Tokenizer:
        """The fast tokenizer, with lower-casing where the model asks for it, without truncation and padding."""
        tokenizer = self._tokenizer_of(encoder)
        if not tokenizer.is_fast:
            raise UnsupportedModel(f"the tokenizer {type(tokenizer).__name__} has no fast form")
        if tokenizer.truncation_side != "right":
            raise UnsupportedModel("tokenizer_config.json: truncation_side is not right, which is not supported")
        fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        fast.no_truncation()
        fast.no_padding()
        return fast

    def prompt(self, task: Task | None, name: str | None = None) -> str:
        """The text that belongs in front: that of the prompt with this ``name``, else the task's, else the default."""
        declared = self.prompts
        chosen = name or (declared.default if task is None else declared.tasks().get(task))
        return "" if chosen is None else declared.prompts.get(chosen, "")

    def prompt_tokens(self, encoder: str, prompt: str) -> int:
        """How many leading tokens pooling leaves out where it leaves prompts out (Transformer._get_prompt_length)."""
        tokenizer = self._tokenizer_of(encoder)
        ids: list[int] = tokenizer(prompt)["input_ids"] if prompt else []
        return len(ids) - (1 if ids and ids[-1] in tokenizer.all_special_ids else 0)


def load_reference(directory: Path, description: Description, trust: Trust) -> Reference:
    """Raises ``UnsupportedModel`` where the model cannot be loaded, for example its tokenizer."""
    main = description.encoders[description.main_encoder]
    loading = "transformers" if main.family.pooled_by_network else "sentence-transformers"
    try:
        if main.family.pooled_by_network:
            return PooledNetwork(main, trust)
        return SentenceEncoder(directory, description, trust)
    except UnsupportedModel:
        raise
    except Exception as error:  # NOTE: tokenizers raises bare Exception.
        raise UnsupportedModel(f"{loading} cannot load the model: {first_line(error)}") from error


class SentenceEncoder(Reference):
    """The model through sentence-transformers."""

    def __init__(self, directory: Path, description: Description, trust: Trust) -> None:
        self._model = SentenceTransformer(
            str(directory),
            device="cpu",
            local_files_only=True,
            trust_remote_code=trust.remote_code,
            model_kwargs={"torch_dtype": torch.float32, "use_safetensors": trust.use_safetensors},
        )
        self._transformers = {name: self._transformer(name) for name in description.encoders}
        for name, encoder in description.encoders.items():
            # NOTE: without files that say otherwise, a tokenizer with a chat template has texts taken for messages.
            if (modality := self._transformers[name].preprocess(["text"]).get("modality")) not in ("text", None):
                raise UnsupportedModel(f"sentence-transformers takes a text for a {modality}: modules.json is missing")
            self._transformers[name].max_seq_length = encoder.max_tokens
            # NOTE: padding on the left shifts the positions of some families: a vector would depend on its batch.
            self._transformers[name].tokenizer.padding_side = "right"

    def embed(
        self, texts: list[str], prompt: str = "", task: Task | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._model.encode(
            texts,
            prompt=prompt,
            batch_size=BATCH,
            show_progress_bar=progress,
            convert_to_numpy=True,
            **({} if task is None else {"task": TASK_NAMES[task][0]}),
        )
        return vectors

    @property
    def prompts(self) -> Prompts:
        return Prompts(dict(self._model.prompts), self._model.default_prompt_name, truncate_dim=None)

    def release(self) -> None:
        self._transformers.clear()
        del self._model
        release_free_memory()

    def _tokenizer_of(self, encoder: str) -> Any:
        return self._transformers[encoder].tokenizer

    def _transformer(self, encoder: str) -> Any:
        first = self._model[0]
        return first.sub_modules[encoder][0] if isinstance(first, Router) else first


class PooledNetwork(Reference):
    """A network of transformers that pools by itself."""

    def __init__(self, encoder: EncoderSpec, trust: Trust) -> None:
        network = getattr(transformers, encoder.family.network)
        self._network = network.from_pretrained(
            encoder.folder, dtype=torch.float32, local_files_only=True, use_safetensors=trust.use_safetensors
        ).eval()
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(encoder.folder, local_files_only=True)
        self._max_tokens = encoder.max_tokens

    def embed(
        self, texts: list[str], prompt: str = "", task: Task | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        batches = range(0, len(texts), BATCH)
        vectors = [self._embed_batch([prompt + text for text in texts[n : n + BATCH]]) for n in batches]
        return np.concatenate(vectors)

    def _embed_batch(self, texts: list[str]) -> NDArray[np.float32]:
        inputs = self._tokenizer(texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt")
        with torch.inference_mode():
            vectors: NDArray[np.float32] = self._network(**inputs).pooler_output.numpy()
        return vectors

    @property
    def prompts(self) -> Prompts:
        return Prompts({}, None, truncate_dim=None)

    def release(self) -> None:
        del self._network
        release_free_memory()

    def _tokenizer_of(self, encoder: str) -> Any:
        return self._tokenizer
