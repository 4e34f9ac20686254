"""The rows about a text embedding model in the table at the end of a build."""

from __future__ import annotations

from collections.abc import Mapping

from manifest import Graph, LayerKind, TextModel

LAYER_WORDS = {
    LayerKind.DENSE: "dense",
    LayerKind.LAYER_NORM: "layer norm",
    LayerKind.NORMALIZE: "normalized",
    LayerKind.TRUNCATE: "truncated",
}


def summary_rows(text: TextModel, stock: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Names and values. ``stock``: by graph, why the native kernels that were requested do not run it."""
    return (
        ("kernels", kernels_of(text.graphs, stock)),
        ("dim", str(text.dim)),
        *_encoders(text),
        ("prompts", _prompts(text.prompts, text.default_prompt)),
    )


def kernels_of(graphs: Mapping[str, Graph], stock: Mapping[str, str]) -> str:
    """What computes the graphs, and why, where it is not what was requested (see ``summary_rows``)."""
    native = ["native"] if any(graph.ops is not None for graph in graphs.values()) else []
    if not stock:
        return (native or ["onnxruntime's own"])[0]
    many = len(graphs) > 1
    reasons = [f"onnxruntime's own{f' for {name}' if many else ''}, because {reason}" for name, reason in stock.items()]
    return "; ".join([*native, *reasons])


def _encoders(text: TextModel) -> list[tuple[str, str]]:
    """Limit and pooling of the only encoder, or of each by its name."""
    rows = []
    for name, encoder in text.encoders.items():
        prefix = "" if len(text.encoders) == 1 else f"{name}: "
        layers = [LAYER_WORDS[layer.kind] for layer in encoder.layers]
        prompts = [] if encoder.pooling.include_prompt else ["prompts skipped"]
        rows.append((f"{prefix}max_tokens", str(encoder.max_tokens)))
        rows.append((f"{prefix}pooling", ", ".join([*encoder.pooling.modes, *prompts, *layers])))
    return rows


def _prompts(prompts: dict[str, str], default: str | None) -> str:
    shown = [f"{name} {text!r}{' (default)' if name == default else ''}" for name, text in prompts.items() if text]
    return ", ".join(shown) or "none"
