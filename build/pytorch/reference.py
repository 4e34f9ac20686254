"""The original model in fp32, which every bundle is compared with."""

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
from build.model.files import MODULES, TOKENIZER_CONFIG
from build.model.sentence_files import Prompts
from build.model.sentence_router import TASK_NAMES
from build.model.trust import Trust
from manifest import Task

BATCH_SIZE = 16


class Reference(ABC):
    """An original that is loaded. Texts longer than an encoder's ``max_tokens`` are truncated."""

    @abstractmethod
    def embed(
        self, texts: list[str], prompt: str = "", task: Task | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        """Return (texts, dim) fp32 vectors. With an empty ``prompt`` there is none, not even the model's default."""

    @property
    @abstractmethod
    def prompts(self) -> Prompts:
        """The prompts that the loaded original itself declares, independent of any bundle."""

    @abstractmethod
    def release(self) -> None:
        """Return the weights' memory to the operating system. Nothing can be embedded afterwards."""

    @abstractmethod
    def _tokenizer_of(self, encoder: str) -> Any:
        """Return transformers' tokenizer of an encoder."""

    def tokenizer(self, encoder: str) -> Tokenizer:
        """Return an encoder's fast tokenizer, without truncation and padding.

        Where the model declares lower-casing, the tokenizer does it. Raises ``UnsupportedModel``.
        """
        return fast_tokenizer(self._tokenizer_of(encoder))

    def prompt(self, task: Task | None, name: str | None = None) -> str:
        """Return the text to prepend: the prompt ``name``; without a name the task's, or the default without a task."""
        declared = self.prompts
        chosen = name or (declared.default if task is None else declared.tasks().get(task))
        return "" if chosen is None else declared.prompts.get(chosen, "")

    def prompt_tokens(self, encoder: str, prompt: str) -> int:
        """Count the leading tokens that pooling skips where it skips prompts (Transformer._get_prompt_length)."""
        tokenizer = self._tokenizer_of(encoder)
        ids: list[int] = tokenizer(prompt)["input_ids"] if prompt else []
        return len(ids) - (1 if ids and ids[-1] in tokenizer.all_special_ids else 0)


def fast_tokenizer(tokenizer: Any) -> Tokenizer:
    """Return the fast tokenizer inside transformers' own, without truncation and padding.

    Raises ``UnsupportedModel`` where there is none, or where it truncates at another side than the right.
    """
    if not tokenizer.is_fast:
        raise UnsupportedModel(f"the tokenizer {type(tokenizer).__name__} has no fast version")
    if tokenizer.truncation_side != "right":
        side = tokenizer.truncation_side
        raise UnsupportedModel(f"{TOKENIZER_CONFIG}: truncation_side must be right, not {side}")
    fast = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    fast.no_truncation()
    fast.no_padding()
    return fast


def load_reference(
    directory: Path, description: Description, trust: Trust, code_cache: Path | None = None
) -> Reference:
    """Load the original; ``code_cache`` is that of ``ModelFiles``.

    Raises ``UnsupportedModel`` where the model or its tokenizer cannot be loaded.
    """
    main = description.encoders[description.main_encoder]
    library = "transformers" if main.family.pooled_by_network else "sentence-transformers"
    try:
        if main.family.pooled_by_network:
            return PooledNetwork(main, trust)
        return SentenceEncoder(directory, description, trust, code_cache)
    except UnsupportedModel:
        raise
    except Exception as error:  # NOTE: tokenizers raises bare Exception.
        raise UnsupportedModel(f"{library} cannot load the model: {first_line(error)}") from error


class SentenceEncoder(Reference):
    """A model as sentence-transformers loads it."""

    def __init__(self, directory: Path, description: Description, trust: Trust, code_cache: Path | None) -> None:
        self._model = SentenceTransformer(
            str(directory),
            device="cpu",
            # NOTE: code_revision would not do: sentence-transformers removes it before transformers loads the model.
            cache_folder=None if code_cache is None else str(code_cache),
            local_files_only=True,
            trust_remote_code=trust.remote_code,
            model_kwargs={"torch_dtype": torch.float32, "use_safetensors": trust.use_safetensors},
        )
        self._transformers = {name: self._transformer(name) for name in description.encoders}
        for name, encoder in description.encoders.items():
            # NOTE: a tokenizer with a chat template makes texts into messages, unless files say otherwise.
            if (modality := self._transformers[name].preprocess(["text"]).get("modality")) not in ("text", None):
                raise UnsupportedModel(f"sentence-transformers treats a text as a {modality}: {MODULES} is missing")
            self._transformers[name].max_seq_length = encoder.max_tokens
            # NOTE: left padding shifts the positions of some families, so that a vector would depend on its batch.
            self._transformers[name].tokenizer.padding_side = "right"

    def embed(
        self, texts: list[str], prompt: str = "", task: Task | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._model.encode(
            texts,
            prompt=prompt,
            batch_size=BATCH_SIZE,
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
        if not isinstance(first, Router):
            return first
        route: Any = first.sub_modules[encoder]
        return route[0]


class PooledNetwork(Reference):
    """A network of transformers that does its own pooling."""

    def __init__(self, encoder: EncoderSpec, trust: Trust) -> None:
        network = getattr(transformers, encoder.family.network)
        self._network = network.from_pretrained(
            encoder.folder, dtype=torch.float32, local_files_only=True, use_safetensors=trust.use_safetensors
        ).eval()
        tokenizers: Any = transformers.AutoTokenizer
        self._tokenizer = tokenizers.from_pretrained(encoder.folder, local_files_only=True)
        self._max_tokens = encoder.max_tokens

    def embed(
        self, texts: list[str], prompt: str = "", task: Task | None = None, progress: bool = False
    ) -> NDArray[np.float32]:
        batches = range(0, len(texts), BATCH_SIZE)
        vectors = [self._embed_batch([prompt + text for text in texts[n : n + BATCH_SIZE]]) for n in batches]
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
