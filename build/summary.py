"""Prints the short table at the end of a build."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from build.pipeline import Delivery
from manifest import FIDELITY_PAGE_FILE, LayerKind, Target, TextModel

LAYER_WORDS = {
    LayerKind.DENSE: "dense",
    LayerKind.LAYER_NORM: "layer norm",
    LayerKind.NORMALIZE: "normalized",
    LayerKind.TRUNCATE: "truncated",
}


def summary(delivery: Delivery, output: Path, extra_targets: Sequence[tuple[Target, Path]] = ()) -> str:
    """Lines of «name  value», and the command that serves the bundle."""
    manifest = delivery.manifest
    text, fidelity = manifest.text, manifest.fidelity
    after = sum(entry.size for entry in manifest.files.values())
    rows = [
        ("model", f"{manifest.model} ({manifest.source.kind}, {manifest.source.revision})"),
        ("bundle", f"{manifest.precision} for {manifest.target}"),
        ("kernels", _kernels(text, delivery.stock_kernels)),
        ("size", f"{_megabytes(delivery.weights_before)} of weights before, {_megabytes(after)} in all after"),
        ("dim", str(text.dim)),
        *_encoders(text),
        ("prompts", _prompts(text.prompts, text.default_prompt)),
    ]
    if fidelity is not None:
        rows.append(
            (
                "fidelity",
                f"cosine to the fp32 original on {fidelity.texts} held-out texts: mean {fidelity.cosine_mean:.6f}, "
                f"1st percentile {fidelity.cosine_p1:.6f}, minimum {fidelity.cosine_min:.6f}",
            )
        )
        bounds = delivery.thresholds
        rows.append(
            ("at least", f"mean {bounds.mean:g}, 1st percentile {bounds.p1:g}, minimum {bounds.minimum:g}: met")
        )
        rows.append(("report", str(output / FIDELITY_PAGE_FILE)))
    rows.append(("lies in", str(output)))
    rows += [(f"for {target}", str(extra)) for target, extra in extra_targets]
    rows.append(("serve it", f"make serve BUNDLE={output}"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _kernels(text: TextModel, stock: dict[str, str]) -> str:
    """What computes the graphs; where it is not what was asked for, why."""
    native = ["native"] if any(graph.ops is not None for graph in text.graphs.values()) else []
    if not stock:
        return (native or ["onnxruntime's own"])[0]
    many = len(text.graphs) > 1
    reasons = [f"onnxruntime's own{f' for {name}' if many else ''}, because {reason}" for name, reason in stock.items()]
    return "; ".join([*native, *reasons])


def _encoders(text: TextModel) -> list[tuple[str, str]]:
    """Limit and pooling: of the one encoder, or of each by its name."""
    rows = []
    for name, encoder in text.encoders.items():
        prefix = "" if len(text.encoders) == 1 else f"{name}: "
        layers = [LAYER_WORDS[layer.kind] for layer in encoder.layers]
        prompts = [] if encoder.pooling.include_prompt else ["prompts left out"]
        rows.append((f"{prefix}max_tokens", str(encoder.max_tokens)))
        rows.append((f"{prefix}pooling", ", ".join([*encoder.pooling.modes, *prompts, *layers])))
    return rows


def _prompts(prompts: dict[str, str], default: str | None) -> str:
    shown = [f"{name} {text!r}{' (default)' if name == default else ''}" for name, text in prompts.items() if text]
    return ", ".join(shown) or "none"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
