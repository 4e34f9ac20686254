"""Static models (Model2Vec): from their description to a bundle that has been compared with the original."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build.bundle.staging import Staging
from build.fidelity.seal import Verified
from build.fidelity.thresholds import COSINE_OPTIONS, ThresholdOverrides
from build.kinds import Weights
from build.kinds.static_summary import static_summary
from build.model.files import TOKENIZER, ModelFiles, weight_files, weights_in_fp32
from build.model.trust import Trust
from build.precisions import PrecisionSpec
from build.progress import Progress
from build.static.layout import find_layout
from manifest import CONFIG_FILE, ONLY_ENCODER, Fidelity, Layer, Manifest, Precision, StaticModel, Target, to_json

if TYPE_CHECKING:
    from build.static.describe import StaticDescription
    from build.static.table import Array, StaticTable

STAGES = ("package",)
PRECISIONS = (Precision.STORED, Precision.FP32, Precision.INT8)
THRESHOLDS = COSINE_OPTIONS


def recognizes(directory: Path) -> bool:
    """Implements ``KindModule``."""
    return find_layout(directory) is not None


def describe(files: ModelFiles, trust: Trust) -> StaticBuild:
    """Implements ``KindModule``. Raises ``ModelNotFound`` or ``UnsupportedModel``."""
    from build.static.describe import describe_static

    return StaticBuild(files, describe_static(files.directory))


@dataclass(frozen=True)
class StaticBuild:
    """Implements ``ModelBuild``."""

    files: ModelFiles
    description: StaticDescription

    @property
    def weights(self) -> Weights:
        folder = self.description.layout.folder
        return Weights(sum(path.stat().st_size for path in weight_files(folder)), weights_in_fp32(folder))

    @property
    def licence(self) -> str | None:
        return self.description.licence

    def assemble(self, spec: PrecisionSpec, target: Target, staging: Staging, progress: Progress) -> AssembledStatic:
        # PERF: imported only now, because torch takes seconds, and a wrong name should be reported at once.
        from build.pytorch.head import read_layers
        from build.static.table import in_precision, read_table

        described = self.description
        with progress.stage("package", f"{self.files.model}, a table of {described.layout.reading}, {spec.precision}"):
            before = read_table(described)
            table = in_precision(before, spec.precision)
            head = read_layers(self.files.directory, {ONLY_ENCODER: described.layers})
            table.write(staging.bundle)
            head.write(staging.bundle)
            (staging.bundle / TOKENIZER).write_text(described.tokenizer.to_str(), encoding="utf-8")
            shutil.copyfile(described.layout.config, staging.bundle / CONFIG_FILE)
        section = _section(described, table, head.layers[ONLY_ENCODER])
        return AssembledStatic(self.files, described, section, spec, before.rows, table.rows)


def _section(described: StaticDescription, table: StaticTable, layers: tuple[Layer, ...]) -> StaticModel:
    from build.static.table import MAPPING, SCALES, TABLE, WEIGHTS_OF_TOKENS

    names = {name: name for name in table.files}
    return StaticModel(
        dim=described.dim,
        reading=described.layout.reading,
        tokenizer=TOKENIZER,
        table=TABLE,
        scales=names.get(SCALES),
        weights=names.get(WEIGHTS_OF_TOKENS),
        mapping=names.get(MAPPING),
        unknown_id=described.unknown_id,
        max_tokens=described.max_tokens,
        characters_per_token=described.characters_per_token,
        tokenizer_limit=described.tokenizer_limit,
        padding=described.padding,
        layers=layers,
        prompts=described.prompts.prompts,
        default_prompt=described.prompts.default,
        tasks=described.prompts.tasks(),
    )


@dataclass(frozen=True)
class AssembledStatic:
    """Implements ``Assembled``."""

    files: ModelFiles
    description: StaticDescription
    section: StaticModel
    spec: PrecisionSpec
    before: Array
    """The rows as the model's files have them."""
    after: Array
    """The rows of the bundle."""

    @property
    def summary(self) -> tuple[tuple[str, str], ...]:
        return static_summary(self.section, self.description.layout, self.before, self.after)

    def verify(self, bundle: Path, manifest: Manifest, thresholds: ThresholdOverrides, bars: bool) -> Verified:
        from build.fidelity.gate import check
        from build.fidelity.page import fidelity_page
        from build.fidelity.report import FidelityReport, cosine_report
        from build.fidelity.summary import cosine_rows
        from build.static.original import load_original
        from build.static.verify import verify_static

        original = load_original(self.files.directory, self.description.layout)
        found = verify_static(bundle, self.description, original, self.spec, bars)
        required = thresholds.over(self.spec.thresholds)
        check(found.measured, required, self.spec.precision)
        report = FidelityReport(cosine_report([found.measured], required), (), {})
        return Verified(
            fidelity=Fidelity(cosine=found.measured.cosine),
            golden=found.golden,
            report=to_json(report),
            page=fidelity_page(report, manifest),
            summary=cosine_rows(found.measured.cosine, required),
        )
