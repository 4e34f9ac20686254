"""The rows about a static model in the table at the end of a build."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from build.kinds.text_summary import LAYER_WORDS
from build.static.layout import Layout
from manifest import StaticModel

Rows = NDArray[Any]


def static_summary(model: StaticModel, layout: Layout, before: Rows, after: Rows) -> tuple[tuple[str, str], ...]:
    """Names and values; ``before`` and ``after``: the table as the files have it, and as the bundle does."""
    both = "; sentence-transformers reads the same directory differently" if layout.is_both else ""
    follows = [LAYER_WORDS[layer.kind] for layer in model.layers]
    return (
        ("read as", f"{model.reading}{both}"),
        ("table", f"{len(before)} rows of {before.shape[1]}, {_table(before)}{_change(before, after)}"),
        ("dim", str(model.dim)),
        ("max_tokens", _limit(model)),
        ("pooling", ", ".join(["mean", *follows])),
    )


def _change(before: Rows, after: Rows) -> str:
    return "" if after.dtype == before.dtype else f" → {_table(after)}"


def _table(rows: Rows) -> str:
    return f"{rows.dtype.name} ({rows.nbytes / 1e6:.1f} MB)"


def _limit(model: StaticModel) -> str:
    if model.max_tokens is None:
        return "no limit"
    if model.characters_per_token is None:
        return str(model.max_tokens)
    return f"{model.max_tokens}, of the first {model.max_tokens * model.characters_per_token} characters"
