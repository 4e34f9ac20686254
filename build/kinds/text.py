"""Text embedding models: from their description to a bundle that has been compared with the original."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build.bundle.staging import Staging
from build.fidelity.seal import Verified
from build.fidelity.thresholds import COSINE_OPTIONS, ThresholdOverrides
from build.kinds import Weights
from build.kinds.text_summary import summary_rows
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
from build.model.describe import Description
from build.model.describe import describe as describe_files
from build.model.files import CONFIG, ModelFiles, weight_files, weights_in_fp32
from build.model.trust import Trust
from build.precisions import PrecisionSpec
from build.progress import Progress
from manifest import (
    CONFIG_FILE,
    Encoder,
    Fidelity,
    Graph,
    Layer,
    Manifest,
    Precision,
    Target,
    TextModel,
    to_json,
)

if TYPE_CHECKING:
    from build.pytorch.head import HeadLayers
    from build.pytorch.reference import Reference


STAGES = TRANSFORMER_STAGES
PRECISIONS = (Precision.INT8, Precision.INT8_STOCK, Precision.FP32)
THRESHOLDS = COSINE_OPTIONS


def recognizes(directory: Path) -> bool:
    """Implements ``KindModule``: what no other kind recognizes is described as text, or refused by name."""
    return True


def describe(files: ModelFiles, trust: Trust) -> TextBuild:
    """Implements ``KindModule``. Raises ``ModelNotFound``, ``UnsupportedModel`` or ``RemoteCodeNeeded``."""
    return TextBuild(files, trust, describe_files(files.directory, trust.remote_code))


@dataclass(frozen=True)
class TextBuild:
    """Implements ``ModelBuild``."""

    files: ModelFiles
    trust: Trust
    description: Description

    @property
    def weights(self) -> Weights:
        folders = {encoder.folder for encoder in self.description.encoders.values()}
        stored = sum(path.stat().st_size for folder in folders for path in weight_files(folder))
        return Weights(stored, sum(weights_in_fp32(folder) for folder in folders))

    @property
    def licence(self) -> str | None:
        return self.description.licence

    def assemble(self, spec: PrecisionSpec, target: Target, staging: Staging, progress: Progress) -> AssembledText:
        # PERF: imported only now, because torch takes seconds, and a wrong name should be reported at once.
        from build.pytorch.head import read_head

        transformers = transformers_of(self.description, staging.work)
        families = ", ".join(sorted({transformer.encoder.family.model_type for transformer in transformers}))
        with progress.stage("export", f"{families} to ONNX, fp32"):
            head = read_head(self.files.directory, self.description)
            transformers = [
                export_transformer(transformer, spec.backend, self.trust, self.files.code_cache)
                for transformer in transformers
            ]
            staging.discard_except(transformer.graph for transformer in transformers)
        what = "scales and rounding, by measured error" if spec.calibrate else "nothing to do"
        with progress.stage("calibrate", what):
            if spec.calibrate:
                transformers = self.calibrated(transformers, progress.bars)
        with progress.stage("quantize", what_is_quantized(spec, target, transformers)):
            transformers = [lower(transformer, spec) for transformer in transformers]
            staging.discard_except(transformer.graph for transformer in transformers)
        stock = [transformer for transformer in transformers if transformer.native is None]
        with progress.stage("optimize", "graph" if stock else "nothing to do"):
            transformers = [optimize_stock(transformer) for transformer in transformers]
            staging.discard_except(transformer.graph for transformer in transformers)
        with progress.stage("package", self.files.model):
            reference = self._load_reference()
            section = package(self.description, transformers, head, reference, staging.bundle)
            staging.discard_except()
        return AssembledText(section, reference, spec, tuple(transformers))

    def _load_reference(self) -> Reference:
        from build.pytorch.reference import load_reference

        return load_reference(self.files.directory, self.description, self.trust, self.files.code_cache)

    def calibrated(self, transformers: list[Transformer], bars: bool) -> list[Transformer]:
        """The same with scales and rounding chosen by the error that is measured on calibration texts."""
        from build.quantization.calibrate import calibrate
        from build.quantization.calibration_texts import calibration_ids
        from build.quantization.scheme import NATIVE, STOCK

        reference = self._load_reference()
        prompts = sorted(filter(None, self.description.prompts.prompts.values()))
        texts = [
            calibration_ids(reference.tokenizer(transformer.encoder_name), prompts, transformer.encoder.max_tokens)
            for transformer in transformers
        ]
        reference.release()  # PERF: the original and the observed graph need not fit into memory together.
        calibrated = []
        for transformer, ids in zip(transformers, texts, strict=True):
            scheme = STOCK if transformer.native is None else NATIVE
            result = calibrate(transformer.graph, transformer.work, ids, scheme, bars)
            calibrated.append(replace(transformer, calibrated=result, records=result.weight_records))
        return calibrated


def transformers_of(description: Description, work: Path) -> list[Transformer]:
    """The transformers of all encoders, each once, before export."""
    first: dict[Path, str] = {}
    encoders = description.encoders.values()
    for name, encoder in description.encoders.items():
        first.setdefault(encoder.folder, name)
    return [
        Transformer(
            name=name if len(first) > 1 else "model",
            encoder_name=name,
            encoder=description.encoders[name],
            work=work / str(index),
            graph=work / str(index),
            one_token=all(other.pooling.reads_one_token for other in encoders if other.folder == folder),
        )
        for index, (folder, name) in enumerate(first.items())
    ]


def package(
    description: Description,
    transformers: Sequence[Transformer],
    head: HeadLayers,
    reference: Reference,
    directory: Path,
) -> TextModel:
    """Write the section's files, and the model's config, to ``directory``."""
    from build.graph.external_data import write_graph

    by_folder = {transformer.encoder.folder: transformer for transformer in transformers}
    graphs: dict[str, Graph] = {}
    for transformer in transformers:
        graphs[transformer.name] = write_graph(transformer.graph, directory, transformer.name)
    head.write(directory)
    main = description.encoders[description.main_encoder]
    shutil.copyfile(main.folder / CONFIG, directory / CONFIG_FILE)
    encoders = {
        name: _encoder(name, by_folder[encoder.folder], head.layers[name], reference, description, directory)
        for name, encoder in description.encoders.items()
    }
    return TextModel(
        dim=description.dim,
        prompts=description.prompts.prompts,
        default_prompt=description.prompts.default,
        tasks=description.prompts.tasks(),
        encoders=encoders,
        routes={task.value: name for task, name in description.routes.items()},
        default_encoder=description.default_encoder,
        graphs=graphs,
    )


def _encoder(
    name: str,
    transformer: Transformer,
    layers: tuple[Layer, ...],
    reference: Reference,
    description: Description,
    directory: Path,
) -> Encoder:
    planned = description.encoders[name]
    tokenizer = "tokenizer.json" if transformer.name == "model" else f"{transformer.name}.tokenizer.json"
    (directory / tokenizer).write_text(reference.tokenizer(name).to_str(), encoding="utf-8")
    prompts = {} if planned.pooling.include_prompt else description.prompts.prompts
    return Encoder(
        architecture=planned.family.model_type,
        tokenizer=tokenizer,
        graph=transformer.name,
        width=planned.width,
        max_tokens=planned.max_tokens,
        pooling=planned.pooling,
        layers=layers,
        prompt_tokens={prompt: reference.prompt_tokens(name, text) for prompt, text in prompts.items()},
        memory=transformer.memory or planned.memory,
    )


@dataclass(frozen=True)
class AssembledText:
    """Implements ``Assembled``."""

    section: TextModel
    reference: Reference
    spec: PrecisionSpec
    transformers: tuple[Transformer, ...]

    @property
    def summary(self) -> tuple[tuple[str, str], ...]:
        return summary_rows(self.section, stock_reasons(self.transformers))

    def verify(self, bundle: Path, manifest: Manifest, thresholds: ThresholdOverrides, bars: bool) -> Verified:
        from build.fidelity.cpu_classes import plan_verification
        from build.fidelity.gate import check
        from build.fidelity.golden import choose_golden_requests
        from build.fidelity.page import fidelity_page
        from build.fidelity.report import FidelityReport, cosine_report
        from build.fidelity.summary import cosine_rows
        from build.fidelity.verify import verify

        golden = choose_golden_requests(self.section, self.reference.tokenizer)
        plan = plan_verification(self.section.graphs, self.spec.stock_class, self.spec.golden_tolerance)
        found = verify(bundle, self.section, self.reference, golden, plan, bars)
        required = thresholds.over(self.spec.thresholds)
        check(found.measured, required, self.spec.precision)
        report = FidelityReport(
            cosine_report([found.measured], required),
            tuple(record for transformer in self.transformers for record in transformer.records),
            stock_reasons(self.transformers),
        )
        return Verified(
            fidelity=Fidelity(cosine=found.measured.cosine),
            golden=found.golden,
            report=to_json(report),
            page=fidelity_page(report, manifest),
            summary=cosine_rows(found.measured.cosine, required),
        )
