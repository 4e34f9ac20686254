"""Models of texts and images: from their description to a bundle whose towers have been compared with the original."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build.bundle.staging import Staging
from build.clip.layout import find_layout
from build.fidelity.seal import Verified
from build.fidelity.thresholds import COSINE_OPTIONS, ThresholdOverrides
from build.kinds import Weights
from build.kinds.transformer import STAGES as TRANSFORMER_STAGES
from build.model.files import CONFIG, TOKENIZER, ModelFiles, weight_files, weights_in_fp32
from build.model.trust import Trust
from build.precisions import PrecisionSpec
from build.progress import Progress
from manifest import (
    CONFIG_FILE,
    ONLY_ENCODER,
    ClipModel,
    Encoder,
    Fidelity,
    Graph,
    ImageModel,
    Layer,
    Manifest,
    Precision,
    Target,
    TextModel,
    to_json,
)

if TYPE_CHECKING:
    from build.clip.describe import ClipDescription
    from build.clip.original import Original

STAGES = tuple(stage for stage in TRANSFORMER_STAGES if stage != "calibrate")
PRECISIONS = (Precision.INT8_STOCK, Precision.FP32)
THRESHOLDS = COSINE_OPTIONS

ARCHITECTURE = "clip"


def recognizes(directory: Path) -> bool:
    """Implements ``KindModule``."""
    return find_layout(directory) is not None


def describe(files: ModelFiles, trust: Trust) -> ClipBuild:
    """Implements ``KindModule``. Raises ``ModelNotFound`` or ``UnsupportedModel``."""
    from build.clip.describe import describe_clip

    return ClipBuild(files, trust, describe_clip(files.directory))


@dataclass(frozen=True)
class ClipBuild:
    """Implements ``ModelBuild``."""

    files: ModelFiles
    trust: Trust
    description: ClipDescription

    @property
    def weights(self) -> Weights:
        folder = self.description.layout.folder
        return Weights(sum(path.stat().st_size for path in weight_files(folder)), weights_in_fp32(folder))

    @property
    def licence(self) -> str | None:
        return self.description.licence

    def assemble(self, spec: PrecisionSpec, target: Target, staging: Staging, progress: Progress) -> AssembledClip:
        # PERF: imported only now, because torch takes seconds, and a wrong name should be reported at once.
        from build.clip.export import export_towers
        from build.clip.original import load_original
        from build.graph.external_data import externalize_weights, write_graph
        from build.graph.optimize import optimize
        from build.pytorch.head import read_layers
        from build.quantization.quantize import quantize

        described = self.description
        with progress.stage("export", "the text and the image tower of a clip to ONNX, fp32"):
            head = read_layers(self.files.directory, {ONLY_ENCODER: described.text.layers})
            exported = export_towers(described.layout.folder, staging.work, self.trust)
            graphs = {name: externalize_weights(graph, graph.parent) for name, graph in exported.items()}
        with progress.stage("quantize", f"{spec.precision} for {target} in onnxruntime's own kernels"):
            if spec.quantize:
                graphs = {name: quantize(graph, graph.parent) for name, graph in graphs.items()}
                staging.discard_except(graphs.values())
        with progress.stage("optimize", "graphs"):
            graphs = {name: optimize(graph, graph.parent) for name, graph in graphs.items()}
            staging.discard_except(graphs.values())
        with progress.stage("package", self.files.model):
            original = load_original(self.files.directory, described.layout, self.trust)
            written = {name: write_graph(graph, staging.bundle, name) for name, graph in graphs.items()}
            head.write(staging.bundle)
            shutil.copyfile(described.layout.folder / CONFIG, staging.bundle / CONFIG_FILE)
            (staging.bundle / TOKENIZER).write_text(original.tokenizer().to_str(), encoding="utf-8")
            staging.discard_except()
        section = _section(described, written, head.layers[ONLY_ENCODER])
        return AssembledClip(section, original, spec)


def _section(described: ClipDescription, graphs: dict[str, Graph], layers: tuple[Layer, ...]) -> ClipModel:
    from build.clip.export import IMAGE, TEXT

    encoder = Encoder(
        architecture=ARCHITECTURE,
        tokenizer=TOKENIZER,
        graph=TEXT,
        width=described.text.width,
        max_tokens=described.text.max_tokens,
        pooling=described.text.pooling,
        layers=layers,
        prompt_tokens={},
        memory=described.text.memory,
    )
    text = TextModel(
        dim=described.dim,
        prompts={},
        default_prompt=None,
        tasks={},
        encoders={ONLY_ENCODER: encoder},
        routes={},
        default_encoder=ONLY_ENCODER,
        graphs={TEXT: graphs[TEXT]},
    )
    image = ImageModel(
        architecture=ARCHITECTURE,
        pixels=described.pixels,
        graph=graphs[IMAGE],
        normalizes=described.layout.normalizes,
        memory=described.image_memory,
    )
    return ClipModel(text, image)


@dataclass(frozen=True)
class AssembledClip:
    """Implements ``Assembled``."""

    section: ClipModel
    original: Original
    spec: PrecisionSpec

    @property
    def summary(self) -> tuple[tuple[str, str], ...]:
        pixels = self.section.image.pixels
        (encoder,) = self.section.text.encoders.values()
        lengths = "of length 1" if self.section.image.normalizes else "as long as the original's, which varies"
        return (
            ("kernels", "onnxruntime's own, because there are no native ones for this kind of model"),
            ("dim", f"{self.section.text.dim}, of texts and of images; vectors are {lengths}"),
            ("max_tokens", f"{encoder.max_tokens}; longer texts are truncated unless LONG_TEXT says otherwise"),
            ("images", f"{pixels.side} x {pixels.side} pixels"),
        )

    def verify(self, bundle: Path, manifest: Manifest, thresholds: ThresholdOverrides, bars: bool) -> Verified:
        from build.clip.gate import IMAGES, check_towers
        from build.clip.verify import verify_clip
        from build.fidelity.cpu_classes import plan_verification
        from build.fidelity.page import fidelity_page
        from build.fidelity.report import FidelityReport, cosine_report
        from build.fidelity.summary import cosine_rows

        plan = plan_verification(self.section.text.graphs, self.spec.stock_class, self.spec.golden_tolerance)
        found = verify_clip(bundle, self.section, self.original, plan, bars)
        texts, images = thresholds.over(self.spec.thresholds), thresholds.over(IMAGES[self.spec.precision])
        check_towers(found.texts, found.images, texts, images, self.spec.precision)
        report = FidelityReport(
            cosine_report([found.texts], texts), (), {}, images=cosine_report([found.images], images)
        )
        of_images = cosine_rows(found.images.cosine, images)
        return Verified(
            fidelity=Fidelity(cosine=found.texts.cosine),
            golden=found.golden,
            report=to_json(report),
            page=fidelity_page(report, manifest),
            summary=(
                *cosine_rows(found.texts.cosine, texts),
                *((f"{name}, images", value.replace("texts", "images")) for name, value in of_images),
            ),
        )
