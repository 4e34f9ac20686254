"""Pairs of models: one for texts, and a CLIP model that reads images. Together they make one bundle of two towers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build.bundle.staging import Staging
from build.errors import UnsupportedModel
from build.kinds import Weights
from build.kinds.clip_bundle import AssembledClip, image_section
from build.kinds.text import TextBuild, package, transformers_of
from build.kinds.text import describe as describe_text
from build.kinds.transformer import export_transformer, lower, optimize_stock, what_is_quantized
from build.model.files import CONFIG, ModelFiles, weight_files, weights_in_fp32
from build.model.json_files import read_object
from build.model.trust import Trust
from build.precisions import Backend, PrecisionSpec
from build.progress import Progress
from manifest import CONFIG_FILE, ONLY_ENCODER, ClipModel, ImageSource, Target, canonical

if TYPE_CHECKING:
    from build.clip.describe import ClipDescription

TEXT_CONFIG, IMAGE_CONFIG = "text_model", "clip_model"
"""Where ``/meta`` has the two models' configs, as the container that this one replaces."""


def describe_pair(texts: ModelFiles, images: ModelFiles, trust: Trust) -> PairBuild:
    """Raises ``UnsupportedModel`` for models whose vectors are not of one length, and what describing either raises."""
    from build.clip.describe import describe_clip

    text, image = describe_text(texts, trust), describe_clip(images.directory)
    described = text.description
    if list(described.encoders) != [ONLY_ENCODER]:
        raise UnsupportedModel(f"{texts.model} has an encoder for each task, and texts beside images have no task")
    if described.dim != image.dim:
        raise UnsupportedModel(
            f"{texts.model} and {images.model} are no pair: their vectors have {described.dim} and {image.dim} numbers"
        )
    return PairBuild(text, images, image)


@dataclass(frozen=True)
class PairBuild:
    """Implements ``ModelBuild``."""

    text: TextBuild
    images: ModelFiles
    image: ClipDescription

    @property
    def weights(self) -> Weights:
        folder, text = self.image.layout.folder, self.text.weights
        stored = sum(path.stat().st_size for path in weight_files(folder))
        return Weights(text.stored + stored, text.fp32 + weights_in_fp32(folder))

    @property
    def licence(self) -> str | None:
        return self.text.licence

    def assemble(self, spec: PrecisionSpec, target: Target, staging: Staging, progress: Progress) -> AssembledClip:
        # PERF: imported only now, because torch takes seconds, and a wrong name should be reported at once.
        from build.clip.export import IMAGE, TEXT
        from build.clip.original import Pair, load_original
        from build.graph.external_data import write_graph
        from build.kinds.clip_towers import Towers
        from build.pytorch.head import read_head
        from build.pytorch.reference import load_reference

        files, trust, described = self.text.files, self.text.trust, self.text.description
        (transformer,) = transformers_of(described, staging.work / TEXT)
        transformer = replace(transformer, name=TEXT)
        family = transformer.encoder.family.model_type
        with progress.stage(
            "export", f"a {family} for texts and the image tower of a {self.image.model_type} to ONNX, fp32"
        ):
            head = read_head(files.directory, described)
            transformer = export_transformer(transformer, spec.backend, trust, files.code_cache)
            made = Towers.of(self.image.layout.folder)
            image = made.export(staging.work, trust, spec.backend is Backend.NATIVE, [IMAGE])[IMAGE]
        with progress.stage(
            "calibrate", "scales and rounding, by measured error" if spec.calibrate else "nothing to do"
        ):
            if spec.calibrate:
                (transformer,) = self.text.calibrated([transformer], progress.bars)
                (image,) = made.calibrate({IMAGE: image}, progress.bars).values()
        with progress.stage("quantize", what_is_quantized(spec, target, [transformer, image])):
            transformer = lower(transformer, spec)
            if spec.quantize:
                image = image.quantize()
            staging.discard_except([transformer.graph, image.graph])
        with progress.stage("optimize", "graphs"):
            transformer, image = optimize_stock(transformer), image.optimize()
            staging.discard_except([transformer.graph, image.graph])
        with progress.stage("package", files.name):
            reference = load_reference(files.directory, described, trust, files.code_cache)
            original = Pair(reference, load_original(self.images.directory, self.image.layout, trust))
            text = package(described, [transformer], head, reference, staging.bundle)
            graph = write_graph(image.graph, staging.bundle, IMAGE)
            self._write_configs(staging.bundle)
            staging.discard_except()
        section = ClipModel(text, image_section(self.image, image, graph, self.source), end=None)
        return AssembledClip(section, original, spec, (transformer, image))

    @property
    def source(self) -> ImageSource:
        """Where images have their model from."""
        images = self.images
        return ImageSource(images.model, images.source.revision, images.requested_revision)

    def _write_configs(self, directory: Path) -> None:
        description = self.text.description
        folders = {
            TEXT_CONFIG: description.encoders[description.main_encoder].folder,
            IMAGE_CONFIG: self.image.layout.folder,
        }
        configs = {name: read_object(folder, CONFIG) for name, folder in folders.items()}
        (directory / CONFIG_FILE).write_text(canonical(configs), encoding="utf-8")
