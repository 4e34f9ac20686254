"""The tokenizer of a model of texts and images, as transformers loads it, and in the form that the runtime reads.

transformers has SigLIP's for sentencepiece alone.
"""

from __future__ import annotations

import re
import string
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, SiglipTokenizer
from transformers.convert_slow_tokenizer import import_protobuf

from build.pytorch.reference import fast_tokenizer

SPACE = "\u2581"
"""What stands for a space in pieces, and before the first word of a text."""

WHITE_SPACE = Regex(r"[\s\x1c-\x1f]+")
"""What Python's own expressions call white space."""


def load_tokenizer(folder: Path) -> Any:
    """As transformers loads it."""
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def runtime_tokenizer(tokenizer: Any) -> Tokenizer:
    """The same without truncation and padding. Raises ``UnsupportedModel`` where there is no such form."""
    return _converted(tokenizer) if isinstance(tokenizer, SiglipTokenizer) else fast_tokenizer(tokenizer)


def _converted(slow: Any) -> Tokenizer:
    """The same ids as those of transformers' ``SiglipTokenizer``, ``</s>`` at the end included.

    A text is lower-cased and loses its punctuation. Then follow sentencepiece's own rules for characters and spaces.
    NOTE: two rare texts differ. One that spells out ``</s>`` is cut there by both, and only this one puts a space
    before what follows. And a mark over a character that sentencepiece replaces, as in a circled digit with an accent,
    is lost, as in all of transformers' fast tokenizers with such a table.
    """
    model = import_protobuf().ModelProto.FromString(slow.sp_model.serialized_model_proto())
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    tokenizer = Tokenizer(
        models.Unigram(pieces, unk_id=slow.sp_model.unk_id(), byte_fallback=model.trainer_spec.byte_fallback)
    )
    tokenizer.normalizer = normalizers.Sequence([*_lower(slow), *_canonical(), *_sentencepiece(model.normalizer_spec)])
    # NOTE: a piece with a space within it, which few models have, would be torn apart.
    split = not any(SPACE in piece[1:] for piece, _ in pieces)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="never", split=split)
    end = slow.eos_token
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A {end} $B:1 {end}:1", special_tokens=[(end, slow.eos_token_id)]
    )
    tokenizer.add_special_tokens([token for token in slow.added_tokens_decoder.values() if token.special])
    return tokenizer


def _lower(slow: Any) -> list[Any]:
    return [normalizers.Lowercase()] if slow.do_lower_case else []


def _canonical() -> list[Any]:
    """As in SiglipTokenizer.canonicalize_text, from a text to which ``SPACE`` has not been added yet."""
    return [
        normalizers.Replace(SPACE, " "),
        normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
        normalizers.Replace(WHITE_SPACE, " "),
        normalizers.Strip(left=False, right=True),
    ]


def _sentencepiece(spec: Any) -> list[Any]:
    """The model's own table of characters, and its treatment of spaces."""
    table = [normalizers.Precompiled(spec.precompiled_charsmap)] if spec.precompiled_charsmap else []
    spaces = [normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()] if spec.remove_extra_whitespaces else []
    return [*table, *spaces, normalizers.Prepend(SPACE)]
