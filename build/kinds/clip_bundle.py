"""What the bundles of one model and of two have in common: the image tower's section, and how both are verified."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build.fidelity.seal import Verified
from build.fidelity.thresholds import ThresholdOverrides
from build.kinds.text_summary import kernels_of
from build.kinds.transformer import Part, stock_reasons
from build.precisions import PrecisionSpec
from manifest import ClipModel, Fidelity, Graph, ImageModel, ImageSource, Manifest, to_json

if TYPE_CHECKING:
    from build.clip.describe import ClipDescription
    from build.clip.original import Original
    from build.kinds.clip_towers import Tower


def image_section(
    described: ClipDescription, tower: Tower, graph: Graph, source: ImageSource | None = None
) -> ImageModel:
    """The image tower's section. ``source``: the model that only images have."""
    return ImageModel(
        architecture=described.model_type,
        pixels=described.pixels,
        graph=graph,
        normalizes=described.layout.normalizes,
        memory=tower.image_memory or described.image_memory,
        source=source,
    )


@dataclass(frozen=True)
class AssembledClip:
    """Implements ``Assembled``."""

    section: ClipModel
    original: Original
    spec: PrecisionSpec
    parts: tuple[Part, ...]
    """What the graphs were made from."""

    @property
    def graphs(self) -> dict[str, Graph]:
        """Both towers' graphs, by name."""
        from build.clip.export import IMAGE

        return {**self.section.text.graphs, IMAGE: self.section.image.graph}

    @property
    def summary(self) -> tuple[tuple[str, str], ...]:
        pixels = self.section.image.pixels
        (encoder,) = self.section.text.encoders.values()
        lengths = "of length 1" if self.section.image.normalizes else "as long as the original's, which varies"
        return (
            ("kernels", kernels_of(self.graphs, stock_reasons(self.parts))),
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

        plan = plan_verification(self.graphs, self.spec.stock_class, self.spec.golden_tolerance)
        found = verify_clip(bundle, self.section, self.original, plan, bars)
        texts, images = thresholds.over(self.spec.thresholds), thresholds.over(IMAGES[self.spec.precision])
        check_towers(found.texts, found.images, texts, images, self.spec.precision)
        report = FidelityReport(
            cosine_report([found.texts], texts),
            tuple(record for part in self.parts for record in part.records),
            stock_reasons(self.parts),
            images=cosine_report([found.images], images),
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
