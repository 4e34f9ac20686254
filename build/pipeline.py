"""The recipe: lists the stages from a model's name to a bundle, in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build.bundle.retarget import retarget
from build.bundle.staging import Staging, refuse_existing, staged
from build.fidelity.thresholds import NO_OVERRIDES, ThresholdOverrides, Thresholds
from build.host.resources import available_memory, check_resources, free_disk, weights_in_fp32
from build.model.describe import Description, describe
from build.model.fetch import fetch
from build.model.files import ModelFiles, weight_files
from build.model.trust import NO_TRUST, Trust
from build.precisions import Kernels, Recipe, recipe_for
from build.progress import Progress
from build.quantization.record import Treatment
from build.quiet import quiet
from manifest import Manifest, Precision, Target

if TYPE_CHECKING:
    from build.pytorch.reference import Reference

STAGES = 8


@dataclass(frozen=True)
class Order:
    """What the user asked for. ``twins``: where the same bundle goes for other targets."""

    model: str
    revision: str | None
    target: Target
    precision: Precision
    output: Path
    force: bool
    trust: Trust = NO_TRUST
    thresholds: ThresholdOverrides = NO_OVERRIDES
    twins: tuple[tuple[Target, Path], ...] = ()


@dataclass(frozen=True)
class Delivery:
    """The finished bundle, the size in bytes of the weights that it was made from, and what it was held to.

    ``stock_kernels``: by graph, why the native kernels that were asked for do not run it.
    """

    manifest: Manifest
    weights_before: int
    thresholds: Thresholds
    stock_kernels: dict[str, str]


def build_bundle(order: Order, progress: Progress) -> Delivery:
    """Make the bundle at ``order.output``. Raises ``BuildError``. Failed or interrupted, it leaves nothing behind."""
    for output in (order.output, *(twin for _, twin in order.twins)):
        refuse_existing(output, order.force)
    recipe = recipe_for(order.precision, order.target)
    thresholds = order.thresholds.over(recipe.thresholds)
    with progress.stage("fetch", order.model):
        files = fetch(order.model, order.revision, order.trust)
    with progress.stage("describe", files.model):
        description = describe(files.directory, order.trust.remote_code)
        folders = dict.fromkeys(encoder.folder for encoder in description.encoders.values())
        weights = sum(weights_in_fp32(folder) for folder in folders)
        check_resources(weights, available_memory(), free_disk(order.output), order.output)

    order.output.parent.mkdir(parents=True, exist_ok=True)
    with staged(order.output, order.force) as staging, quiet():
        assembled = assemble(files, description, recipe, order.trust, staging, progress)
        manifest, reference = assembled.manifest, assembled.reference
        from build.bundle.writer import seal
        from build.fidelity.gate import check
        from build.fidelity.golden import choose_golden_texts
        from build.fidelity.measuring import measuring_of
        from build.fidelity.verify import verify

        with progress.stage("verify", "against the original in fp32, on held-out texts, through the real runtime"):
            candidates = choose_golden_texts(manifest.text, reference.tokenizer)
            measuring = measuring_of(manifest.text, recipe)
            verification = verify(staging.bundle, manifest.text, reference, candidates, measuring, progress.bars)
            for one in verification.classes:
                check(one.fidelity, thresholds, order.precision, one.heldout, one.golden_texts, one.arithmetic.name)
            manifest = seal(
                staging.bundle, manifest, verification, thresholds, assembled.treatments, assembled.stock_kernels
            )
    for target, twin in order.twins:
        retarget(order.output, manifest, target, twin, order.force)
    stored = sum(path.stat().st_size for folder in folders for path in weight_files(folder))
    return Delivery(manifest, stored, thresholds, assembled.stock_kernels)


@dataclass(frozen=True)
class Assembled:
    """A bundle that can be served and is not verified; the original to compare it with; what was stored how.

    ``stock_kernels``: by graph, why the native kernels that were asked for do not run it.
    """

    manifest: Manifest
    reference: Reference
    treatments: tuple[Treatment, ...]
    stock_kernels: dict[str, str]


def assemble(
    files: ModelFiles,
    description: Description,
    recipe: Recipe,
    trust: Trust,
    staging: Staging,
    progress: Progress,
) -> Assembled:
    """From a model's files to an unverified bundle. Raises ``BuildError``."""
    # PERF: imported only now, because torch takes seconds, and a wrong name should be told at once.
    from build.bundle.writer import graph_names, package
    from build.graph.external_data import lay_out
    from build.graph.optimize import optimize
    from build.native.lowering import write_native
    from build.native.memory import native_memory
    from build.native.plan import NOTHING_NATIVE, plan_native
    from build.native.records import native_treatments
    from build.pytorch.export import export
    from build.pytorch.head import read_head
    from build.pytorch.reference import load_reference
    from build.quantization.calibrate import prepare
    from build.quantization.calibrated import UNPREPARED
    from build.quantization.calibration_texts import calibration_ids
    from build.quantization.quantize import quantize
    from build.quantization.scheme import NATIVE, STOCK

    encoders = {encoder.folder: (name, encoder) for name, encoder in description.encoders.items()}
    works = {folder: staging.work / str(number) for number, folder in enumerate(encoders)}
    shown = ", ".join(sorted({encoder.family.model_type for _, encoder in encoders.values()}))
    with progress.stage("export", f"{shown} to ONNX, fp32"):
        head = read_head(files.directory, description)
        graphs = {
            folder: lay_out(export(folder, encoders[folder][1].family, work, trust), work)
            for folder, work in works.items()
        }
        staging.keep_only(graphs.values())
    planned = {folder: encoder for folder, (_, encoder) in encoders.items()}
    plans = plan_native(graphs, planned) if recipe.kernels is Kernels.NATIVE else NOTHING_NATIVE
    prepared = dict.fromkeys(encoders, UNPREPARED)
    with progress.stage("prepare", "scales and rounding, by measured error" if recipe.prepare else "nothing to do"):
        if recipe.prepare:
            reference = load_reference(files.directory, description, trust)
            prompts = sorted(filter(None, description.prompts.prompts.values()))
            texts = {
                folder: calibration_ids(reference.tokenizer(name), prompts, encoder.max_tokens)
                for folder, (name, encoder) in encoders.items()
            }
            reference.release()  # PERF: the original and the graph that is watched need not fit into memory together.
            roundings = {folder: NATIVE if folder in plans.native else STOCK for folder in graphs}
            prepared = {
                folder: prepare(graphs[folder], works[folder], texts[folder], roundings[folder], progress.bars)
                for folder in graphs
            }
    names = graph_names(description)
    stock = {names[folder]: reason for folder, reason in plans.stock.items()}
    with progress.stage("quantize", _quantization(recipe, stock)):
        treatments: list[Treatment] = []
        for folder, work in works.items():
            if plan := plans.native.get(folder):
                graphs[folder] = write_native(plan.parts, plan.encoder, prepared[folder], work)
                treatments += native_treatments(prepared[folder].treatments, plan.encoder.embeddings, plan.parts)
            else:
                graphs[folder] = quantize(graphs[folder], work, recipe, prepared[folder])
                treatments += prepared[folder].treatments
        staging.keep_only(graphs.values())
    with progress.stage("optimize", "graph" if plans.native.keys() != works.keys() else "nothing to do"):
        for folder in works.keys() - plans.native.keys():
            graphs[folder] = optimize(graphs[folder], works[folder])
        staging.keep_only(graphs.values())
    with progress.stage("package", files.model):
        reference = load_reference(files.directory, description, trust)
        memories = {folder: native_memory(plan.encoder, plan.parts) for folder, plan in plans.native.items()}
        manifest = package(files, description, recipe, graphs, memories, head, reference, staging.bundle)
        staging.keep_only()
    return Assembled(manifest, reference, tuple(treatments), stock)


def _quantization(recipe: Recipe, stock: dict[str, str]) -> str:
    """What the stage does, and for which graphs not natively although that was asked for."""
    if not stock:
        return f"{recipe.precision} for {recipe.target}"
    reasons = "; ".join(f"{name}: {reason}" if len(stock) > 1 else reason for name, reason in stock.items())
    return f"{recipe.precision} for {recipe.target} in onnxruntime's own kernels: {reasons}"
