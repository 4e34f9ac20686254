"""The recipe: lists the stages from a model's name to a bundle, in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from build.describe import describe
from build.fetch import fetch
from build.progress import Progress
from build.quiet import quiet
from build.recipes import recipe_for
from build.staging import refuse_existing, staged
from manifest import Manifest, Precision, Target

STAGES = 7


@dataclass(frozen=True)
class Order:
    """What the user asked for."""

    model: str
    revision: str | None
    target: Target
    precision: Precision
    output: Path
    force: bool
    trust_remote_code: bool


@dataclass(frozen=True)
class Delivery:
    """The finished bundle, and the size in bytes of the weights that it was made from."""

    manifest: Manifest
    weights_before: int


def build_bundle(order: Order, progress: Progress) -> Delivery:
    """Make the bundle at ``order.output``. Raises ``BuildError``. Failed or interrupted, it leaves nothing behind."""
    refuse_existing(order.output, order.force)
    recipe = recipe_for(order.precision, order.target)
    with progress.stage("fetch", order.model):
        files = fetch(order.model, order.revision, order.trust_remote_code)
    with progress.stage("describe", files.model):
        description = describe(files.directory, order.trust_remote_code)

    order.output.parent.mkdir(parents=True, exist_ok=True)
    with staged(order.output, order.force) as staging, quiet():
        # PERF: imported only now, because torch takes seconds, and a wrong name should be told at once.
        from build.export import export
        from build.golden_texts import choose_golden_texts
        from build.optimize import optimize
        from build.package import package, seal
        from build.quantize import quantize
        from build.reference import Reference
        from build.verify import verify

        with progress.stage("export", f"{description.family.model_type} to ONNX, fp32"):
            exported = export(files.directory, staging.work, order.trust_remote_code)
        with progress.stage("quantize", f"{recipe.precision} for {recipe.target}"):
            quantized = quantize(exported, staging.work, recipe)
        with progress.stage("optimize", "graph"):
            optimized = optimize(quantized, staging.work)
        with progress.stage("package", str(order.output)):
            reference = Reference(files.directory, description.max_tokens, order.trust_remote_code)
            tokenizer = reference.tokenizer()
            manifest = package(files, description, recipe, optimized, tokenizer, staging.bundle)
        with progress.stage("verify", "against the original in fp32, on held-out texts, through the real runtime"):
            candidates = choose_golden_texts(tokenizer, description.max_tokens, manifest.text.tasks)
            verification = verify(
                staging.bundle, manifest.text, reference, candidates, recipe.golden_slack, progress.bars
            )
            manifest = seal(staging.bundle, manifest, recipe, verification)
    weights = sum(path.stat().st_size for path in files.directory.glob("*.safetensors"))
    return Delivery(manifest, weights)
