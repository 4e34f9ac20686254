"""Rerankers: from their description to a bundle that has been compared with the original."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build.bundle.staging import Staging
from build.fidelity.seal import Verified
from build.fidelity.thresholds import SCORE_OPTIONS, ThresholdOverrides
from build.kinds import Weights
from build.kinds.transformer import (
    STAGES as TRANSFORMER_STAGES,
)
from build.kinds.transformer import (
    Transformer,
    export_transformer,
    lower,
    optimize_stock,
    stock_reasons,
    what_is_quantized,
)
from build.model.cross_encoder import RerankDescription, describe_reranker, is_reranker
from build.model.files import CONFIG, ModelFiles, weight_files, weights_in_fp32
from build.model.trust import Trust
from build.precisions import PrecisionSpec
from build.progress import Progress
from manifest import CONFIG_FILE, Encoder, Fidelity, Manifest, Precision, RerankModel, Target, to_json

if TYPE_CHECKING:
    from build.pytorch.cross_encoder import RerankReference
    from build.pytorch.head import HeadLayers
    from build.quantization.calibration_texts import TokenPair

STAGES = TRANSFORMER_STAGES
PRECISIONS = (Precision.INT8, Precision.INT8_STOCK, Precision.FP32)
THRESHOLDS = SCORE_OPTIONS

MODEL = "model"
"""The name of the graph."""

TOKENIZER_FILE = "tokenizer.json"


def recognizes(directory: Path) -> bool:
    """Implements ``KindModule``."""
    return is_reranker(directory)


def describe(files: ModelFiles, trust: Trust) -> RerankBuild:
    """Implements ``KindModule``. Raises ``ModelNotFound`` or ``UnsupportedModel``."""
    return RerankBuild(files, trust, describe_reranker(files.directory))


@dataclass(frozen=True)
class RerankBuild:
    """Implements ``ModelBuild``."""

    files: ModelFiles
    trust: Trust
    description: RerankDescription

    @property
    def weights(self) -> Weights:
        folder = self.description.encoder.folder
        return Weights(sum(path.stat().st_size for path in weight_files(folder)), weights_in_fp32(folder))

    @property
    def licence(self) -> str | None:
        return self.description.licence

    def assemble(self, spec: PrecisionSpec, target: Target, staging: Staging, progress: Progress) -> AssembledRerank:
        # PERF: imported only now, because torch takes seconds, and a wrong name should be reported at once.
        from build.pytorch.head import read_layers
        from build.quantization.calibration_texts import calibration_pairs

        encoder = self.description.encoder
        with progress.stage("export", f"the reranker's {encoder.family.model_type} to ONNX, fp32"):
            head = read_layers(self.files.directory, {MODEL: encoder.layers})
            reference = self._load_reference()
            token_types = reference.token_types
            pairs = calibration_pairs(reference.tokenizer(), encoder.max_tokens) if spec.calibrate else []
            reference.release()
            work = staging.work / "0"
            transformer = Transformer(
                MODEL, MODEL, encoder, work, graph=work, one_token=encoder.pooling.reads_one_token
            )
            transformer = export_transformer(transformer, spec.backend, self.trust, self.files.code_cache, token_types)
            staging.discard_except([transformer.graph])
        what = "scales and rounding, by measured error" if spec.calibrate else "nothing to do"
        with progress.stage("calibrate", what):
            if spec.calibrate:
                transformer = _calibrate(transformer, pairs, token_types, progress.bars)
        with progress.stage("quantize", what_is_quantized(spec, target, [transformer])):
            transformer = lower(transformer, spec)
            staging.discard_except([transformer.graph])
        with progress.stage("optimize", "graph" if transformer.native is None else "nothing to do"):
            transformer = optimize_stock(transformer)
            staging.discard_except([transformer.graph])
        with progress.stage("package", self.files.model):
            reference = self._load_reference()
            section = _package(self.description, transformer, head, reference, staging.bundle)
            staging.discard_except()
        return AssembledRerank(section, reference, spec, transformer)

    def _load_reference(self) -> RerankReference:
        from build.pytorch.cross_encoder import RerankReference

        return RerankReference(self.files.directory, self.description.encoder.max_tokens, self.trust.use_safetensors)


def _calibrate(transformer: Transformer, pairs: Sequence[TokenPair], token_types: bool, bars: bool) -> Transformer:
    from build.quantization.calibrate import calibrate
    from build.quantization.scheme import NATIVE, STOCK

    scheme = STOCK if transformer.native is None else NATIVE
    ids, types = [pair.ids for pair in pairs], [pair.types for pair in pairs] if token_types else None
    result = calibrate(transformer.graph, transformer.work, ids, scheme, bars, types)
    return replace(transformer, calibrated=result, records=result.weight_records)


def _package(
    description: RerankDescription,
    transformer: Transformer,
    head: HeadLayers,
    reference: RerankReference,
    directory: Path,
) -> RerankModel:
    """Write the section's files, and the model's config, to ``directory``."""
    from build.graph.external_data import write_graph

    planned = description.encoder
    graph = write_graph(transformer.graph, directory, MODEL)
    head.write(directory)
    shutil.copyfile(planned.folder / CONFIG, directory / CONFIG_FILE)
    (directory / TOKENIZER_FILE).write_text(reference.tokenizer().to_str(), encoding="utf-8")
    return RerankModel(
        encoder=Encoder(
            architecture=planned.family.model_type,
            tokenizer=TOKENIZER_FILE,
            graph=MODEL,
            width=planned.width,
            max_tokens=planned.max_tokens,
            pooling=planned.pooling,
            layers=head.layers[MODEL],
            prompt_tokens={},
            memory=transformer.memory or planned.memory,
        ),
        activation=description.activation,
        token_types=reference.token_types,
        graphs={MODEL: graph},
    )


@dataclass(frozen=True)
class AssembledRerank:
    """Implements ``Assembled``."""

    section: RerankModel
    reference: RerankReference
    spec: PrecisionSpec
    transformer: Transformer

    @property
    def summary(self) -> tuple[tuple[str, str], ...]:
        reason = self.transformer.stock_reason
        own = "onnxruntime's own" + (f", because {reason}" if reason else "")
        return (
            ("kernels", "native" if self.transformer.native is not None else own),
            ("max_tokens", f"{self.section.encoder.max_tokens}, of a query and a document together"),
            ("scores", f"logits through {self.section.activation}"),
        )

    def verify(self, bundle: Path, manifest: Manifest, thresholds: ThresholdOverrides, bars: bool) -> Verified:
        from build.fidelity.cpu_classes import plan_verification
        from build.fidelity.page import fidelity_page
        from build.fidelity.report import FidelityReport
        from build.fidelity.summary import score_rows
        from build.ranking.gate import check_scores
        from build.ranking.verify import verify_scores

        plan = plan_verification(self.section.graphs, self.spec.stock_class, self.spec.golden_tolerance)
        found = verify_scores(bundle, self.section, self.reference, plan, self.spec, thresholds, bars)
        for measured in found.report.classes:
            check_scores(measured, self.spec.precision)
        report = FidelityReport(
            None,
            self.transformer.records,
            stock_reasons([self.transformer]),
            found.report,
        )
        return Verified(
            fidelity=Fidelity(scores=found.report.classes[0].figures),
            golden=found.golden,
            report=to_json(report),
            page=fidelity_page(report, manifest),
            summary=score_rows(found.report.classes[0]),
        )
