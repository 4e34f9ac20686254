"""The tokenizer of a model of texts and images, as transformers loads it, and in the form that the runtime reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, SiglipTokenizer

from build.clip.siglip_tokenizer import converted
from build.pytorch.reference import fast_tokenizer


def load_tokenizer(folder: Path) -> Any:
    """As transformers loads it."""
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def runtime_tokenizer(tokenizer: Any) -> Tokenizer:
    """The same without truncation and padding. Raises ``UnsupportedModel`` where there is no such form."""
    return converted(tokenizer) if isinstance(tokenizer, SiglipTokenizer) else fast_tokenizer(tokenizer)
