"""The original CLIP model in fp32, which every bundle is compared with: as its own package loads and runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from PIL.Image import Image
from tokenizers import Tokenizer
from transformers.image_utils import ChannelDimension

from build.clip.architectures import ARCHITECTURES
from build.clip.export import load_network
from build.clip.layout import Layout
from build.clip.tokenizer import load_tokenizer, runtime_tokenizer
from build.errors import UnsupportedModel, first_line
from build.host.malloc import release_free_memory
from build.model.trust import Trust
from build.pytorch.reference import Reference
from manifest import ONLY_ENCODER

Vectors = NDArray[np.float32]


class Original(ABC):
    """An original that is loaded. Texts beyond the model's limit are truncated."""

    @abstractmethod
    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """(texts, dim)."""

    @abstractmethod
    def embed_images(self, images: Sequence[Image]) -> Vectors:
        """(images, dim). An image has more than 3 rows: with fewer, processors take rows for channels."""

    @abstractmethod
    def release(self) -> None:
        """Return the weights' memory to the operating system. Nothing can be embedded afterwards."""

    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """The fast tokenizer, without truncation and padding. Raises ``UnsupportedModel``."""


class OneModel(Original):
    """Texts and images are read by the same model."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = load_tokenizer(folder)

    def tokenizer(self) -> Tokenizer:
        return runtime_tokenizer(self._tokenizer)


class Network(OneModel):
    """A network of transformers, such as ``CLIPModel``."""

    def __init__(self, folder: Path, normalizes: bool, trust: Trust) -> None:
        """``normalizes``: whether vectors get unit length."""
        super().__init__(folder)
        self._normalizes = normalizes
        self._network = load_network(folder, trust)
        architecture = ARCHITECTURES[self._network.config.model_type]
        self._padding = "max_length" if architecture.pads else False
        processors: Any = getattr(transformers, architecture.processor)
        self._processor = processors.from_pretrained(folder, local_files_only=True)
        self._max_tokens = self._network.config.text_config.max_position_embeddings

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        # NOTE: one at a time, so that no padding is needed.
        return np.concatenate([self._embed_text(text) for text in texts])

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        return np.concatenate([self._embed_image(image) for image in images])

    def release(self) -> None:
        del self._network
        release_free_memory()

    def _embed_text(self, text: str) -> Vectors:
        inputs = self._tokenizer(
            text, padding=self._padding, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        )
        with torch.inference_mode():
            return self._vectors(self._network.get_text_features(input_ids=inputs["input_ids"]))

    def _embed_image(self, image: Image) -> Vectors:
        inputs = self._processor(image, return_tensors="pt", input_data_format=ChannelDimension.LAST)
        with torch.inference_mode():
            return self._vectors(self._network.get_image_features(pixel_values=inputs["pixel_values"]))

    def _vectors(self, features: torch.Tensor) -> Vectors:
        return (torch.nn.functional.normalize(features, dim=-1) if self._normalizes else features).numpy()


class SentenceModel(OneModel):
    """sentence-transformers' own way, whose vectors are not normalized."""

    def __init__(self, directory: Path, folder: Path, trust: Trust) -> None:
        from sentence_transformers import SentenceTransformer

        super().__init__(folder)
        self._model: Any = SentenceTransformer(
            str(directory), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": trust.use_safetensors}
        ).float()

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return np.stack([self._model.encode(text, show_progress_bar=False) for text in texts])

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        return np.stack([self._model.encode(image, show_progress_bar=False) for image in images])

    def release(self) -> None:
        del self._model
        release_free_memory()


class Pair(Original):
    """Texts are read by a model of their own."""

    def __init__(self, texts: Reference, images: Original) -> None:
        self._texts, self._images = texts, images

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        return self._texts.embed(list(texts), self._texts.prompt(None))

    def embed_images(self, images: Sequence[Image]) -> Vectors:
        return self._images.embed_images(images)

    def release(self) -> None:
        self._texts.release()
        self._images.release()

    def tokenizer(self) -> Tokenizer:
        return self._texts.tokenizer(ONLY_ENCODER)


def load_original(directory: Path, layout: Layout, trust: Trust) -> Original:
    """Raises ``UnsupportedModel`` where the model, its tokenizer or its processor cannot be loaded."""
    library = "sentence-transformers" if layout.wrapped else "transformers"
    try:
        if layout.wrapped:
            return SentenceModel(directory, layout.folder, trust)
        return Network(layout.folder, layout.normalizes, trust)
    except UnsupportedModel:
        raise
    except Exception as error:  # NOTE: tokenizers raises bare Exception.
        raise UnsupportedModel(f"{library} cannot load the model: {first_line(error)}") from error
