"""Models of texts and images: from their description to a bundle whose towers have been compared with the original."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
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
from build.kinds.transformer import what_is_quantized
from build.model.files import CONFIG, TOKENIZER, ModelFiles, weight_files, weights_in_fp32
from build.model.trust import Trust
from build.precisions import Backend, PrecisionSpec
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
    from build.kinds.clip_towers import Tower

STAGES = TRANSFORMER_STAGES
PRECISIONS = (Precision.INT8, Precision.INT8_STOCK, Precision.FP32)
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
        from build.clip.original import load_original
        from build.graph.external_data import write_graph
        from build.kinds.clip_towers import Towers
        from build.pytorch.head import read_layers

        described = self.description
        with progress.stage("export", f"the text and the image tower of a {described.model_type} to ONNX, fp32"):
            head = read_layers(self.files.directory, {ONLY_ENCODER: described.text.layers})
            made = Towers.of(described.layout.folder)
            towers = made.export(staging.work, self.trust, spec.backend is Backend.NATIVE)
        calibrates = spec.calibrate and any(tower.native is not None for tower in towers.values())
        with progress.stage("calibrate", "scales and rounding, by measured error" if calibrates else "nothing to do"):
            if calibrates:
                towers = made.calibrate(towers, progress.bars)
        with progress.stage("quantize", what_is_quantized(spec, target, [*towers.values()])):
            if spec.quantize:
                towers = {name: tower.quantize() for name, tower in towers.items()}
            staging.discard_except(tower.graph for tower in towers.values())
        with progress.stage("optimize", "graphs"):
            towers = {name: tower.optimize() for name, tower in towers.items()}
            staging.discard_except(tower.graph for tower in towers.values())
        with progress.stage("package", self.files.model):
            original = load_original(self.files.directory, described.layout, self.trust)
            graphs = {name: write_graph(tower.graph, staging.bundle, name) for name, tower in towers.items()}
            head.write(staging.bundle)
            shutil.copyfile(described.layout.folder / CONFIG, staging.bundle / CONFIG_FILE)
            (staging.bundle / TOKENIZER).write_text(original.tokenizer().to_str(), encoding="utf-8")
            staging.discard_except()
        section = _section(described, towers, graphs, head.layers[ONLY_ENCODER], made.end)
        return AssembledClip(section, original, spec, tuple(towers.values()))


def _section(
    described: ClipDescription,
    towers: Mapping[str, Tower],
    graphs: Mapping[str, Graph],
    layers: tuple[Layer, ...],
    end: int | None,
) -> ClipModel:
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
        memory=towers[TEXT].memory or described.text.memory,
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
    return ClipModel(text, image_section(described, towers[IMAGE], graphs[IMAGE]), end)
