"""Models of texts and images: from their description to a bundle whose towers have been compared with the original."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build.bundle.staging import Staging
from build.clip.layout import find_layout
from build.fidelity.thresholds import COSINE_OPTIONS
from build.kinds import ModelBuild, Weights
from build.kinds.clip_bundle import AssembledClip, image_section
from build.kinds.clip_pair import describe_pair
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
    Graph,
    Layer,
    Precision,
    Target,
    TextModel,
)

if TYPE_CHECKING:
    from build.clip.describe import ClipDescription

STAGES = tuple(stage for stage in TRANSFORMER_STAGES if stage != "calibrate")
PRECISIONS = (Precision.INT8_STOCK, Precision.FP32)
THRESHOLDS = COSINE_OPTIONS


def recognizes(directory: Path) -> bool:
    """Implements ``KindModule``."""
    return find_layout(directory) is not None


def describe(files: ModelFiles, trust: Trust) -> ModelBuild:
    """Implements ``KindModule``. Raises ``ModelNotFound``, ``UnsupportedModel`` or ``RemoteCodeNeeded``."""
    from build.clip.describe import describe_clip

    if files.of_images is not None:
        return describe_pair(files, files.of_images, trust)
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
        with progress.stage("export", f"the text and the image tower of a {described.model_type} to ONNX, fp32"):
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
        architecture=described.model_type,
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
    return ClipModel(text, image_section(described, graphs[IMAGE]))
