"""A transformer on its way through a build: exported, quantized, optimized. All kinds with a transformer share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from build.model.describe import EncoderSpec
from build.model.trust import Trust
from build.precisions import Backend, PrecisionSpec
from manifest import Target, WorkingMemory

if TYPE_CHECKING:
    from build.native.plan import NativePlan
    from build.quantization.calibrated import CalibratedWeights
    from build.quantization.record import WeightRecord


STAGES = ("export", "calibrate", "quantize", "optimize", "package")
"""Of a build."""


@dataclass(frozen=True)
class Transformer:
    """One transformer on its way through the build; each stage returns it with a new graph or more facts."""

    name: str
    """Of its graph in the bundle."""
    encoder_name: str
    """Of the first encoder that uses it."""
    encoder: EncoderSpec
    work: Path
    """The directory of its graphs."""
    graph: Path
    one_token: bool = False
    """Whether every encoder that uses it reads one token of each text."""
    native: NativePlan | None = None
    """How the native kernels compute it; None: onnxruntime's own do."""
    stock_reason: str | None = None
    """Why the native kernels that were requested do not compute it, as part of a sentence."""
    calibrated: CalibratedWeights | None = None
    records: tuple[WeightRecord, ...] = ()
    """How each weight is stored."""
    memory: WorkingMemory | None = None
    """What a run takes, if it is not what the description says."""


def export_transformer(
    transformer: Transformer,
    backend: Backend,
    trust: Trust,
    code_cache: Path | None,
    token_types: bool = False,
) -> Transformer:
    """Export it in fp32, and match it with the native kernels if they are wanted.

    ``token_types``: whether the graph must read the type of each token.
    """
    from build.graph.external_data import externalize_weights
    from build.native.encoder import NotNative
    from build.native.plan import plan_native
    from build.pytorch.export import export

    encoder, work = transformer.encoder, transformer.work
    exported = export(encoder.folder, encoder.family, work, trust, code_cache)
    graph = externalize_weights(exported, work)
    transformer = replace(transformer, graph=graph)
    if backend is not Backend.NATIVE:
        return transformer
    try:
        return replace(transformer, native=plan_native(graph, encoder, token_types))
    except NotNative as reason:
        return replace(transformer, stock_reason=str(reason))


def lower(transformer: Transformer, spec: PrecisionSpec) -> Transformer:
    """Quantize to the native kernels' ops where they compute it, and otherwise to onnxruntime's."""
    from build.native.lowering import native_records, write_native
    from build.native.memory import native_memory
    from build.quantization.calibrated import UNCALIBRATED
    from build.quantization.quantize import quantize

    calibrated, plan = transformer.calibrated or UNCALIBRATED, transformer.native
    if plan is None:
        if not spec.quantize:
            return transformer
        return replace(transformer, graph=quantize(transformer.graph, transformer.work, calibrated))
    return replace(
        transformer,
        graph=write_native(plan.graph, plan.encoder, calibrated, transformer.work, transformer.one_token),
        records=tuple(native_records(calibrated.weight_records, plan.encoder.embeddings, plan.graph)),
        memory=native_memory(plan.encoder, plan.graph),
    )


def optimize_stock(transformer: Transformer) -> Transformer:
    """onnxruntime's rewrites, for graphs of its own ops."""
    from build.graph.optimize import optimize

    if transformer.native is not None:
        return transformer
    return replace(transformer, graph=optimize(transformer.graph, transformer.work))


class Part(Protocol):
    """A transformer, or a tower of a CLIP model."""

    @property
    def name(self) -> str: ...

    @property
    def stock_reason(self) -> str | None: ...

    @property
    def records(self) -> tuple[WeightRecord, ...]: ...


def what_is_quantized(spec: PrecisionSpec, target: Target, transformers: Sequence[Part]) -> str:
    """What the stage does, and which graphs stay with onnxruntime although native kernels were requested."""
    if not (stock := stock_reasons(transformers)):
        return f"{spec.precision} for {target}"
    reasons = "; ".join(f"{name}: {reason}" if len(stock) > 1 else reason for name, reason in stock.items())
    return f"{spec.precision} for {target} in onnxruntime's own kernels: {reasons}"


def stock_reasons(transformers: Sequence[Part]) -> dict[str, str]:
    """By graph, why the native kernels that were requested do not run it."""
    return {
        transformer.name: transformer.stock_reason
        for transformer in transformers
        if transformer.stock_reason is not None
    }
