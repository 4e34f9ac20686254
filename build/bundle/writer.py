"""Writes the bundle's files, unverified first, then sealed with what verification measured."""

from __future__ import annotations

import dataclasses
import shutil
from importlib.metadata import version
from pathlib import Path

from build.fidelity.page import fidelity_page, unverified_page
from build.fidelity.report import ClassFigures, FidelityReport, cosine_report
from build.fidelity.thresholds import Thresholds
from build.fidelity.verify import Verification
from build.graph.external_data import write_graph
from build.model.describe import Description, PlannedEncoder
from build.model.files import CONFIG, ModelFiles
from build.paths import ROOT
from build.precisions import Recipe
from build.pytorch.head import Head
from build.pytorch.reference import Reference
from build.quantization.record import Treatment
from manifest import (
    CONFIG_FILE,
    FIDELITY_FILE,
    FIDELITY_PAGE_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    SCHEMA,
    Encoder,
    Golden,
    Graph,
    Kind,
    Layer,
    Manifest,
    TextModel,
    WorkingMemory,
    describe_files,
    to_json,
)

TOOLS = (
    "torch",
    "transformers",
    "optimum",
    "optimum-onnx",
    "sentence-transformers",
    "onnx",
    "onnxruntime",
    "tokenizers",
)


def package(
    files: ModelFiles,
    description: Description,
    recipe: Recipe,
    graphs: dict[Path, Path],
    memories: dict[Path, WorkingMemory],
    head: Head,
    reference: Reference,
    directory: Path,
) -> Manifest:
    """Write a bundle that can be served and claims nothing: no fidelity, no golden texts.

    ``graphs`` maps a transformer's folder to its finished graph, ``memories`` to what a run takes where that is not
    what ``description`` says.
    """
    main = description.encoders[description.main_encoder]
    names = graph_names(description)
    written: dict[str, Graph] = {}
    for folder, graph in graphs.items():
        written[names[folder]] = write_graph(graph, directory, names[folder])
    head.write(directory)
    encoders = {
        name: _encoder(name, encoder, names[encoder.folder], head.layers[name], reference, description, directory)
        for name, encoder in _with(memories, description.encoders).items()
    }
    shutil.copyfile(main.folder / CONFIG, directory / CONFIG_FILE)
    (directory / GOLDEN_FILE).write_text(to_json(Golden(texts=())), encoding="utf-8")
    (directory / FIDELITY_FILE).write_text("{}\n", encoding="utf-8")
    (directory / FIDELITY_PAGE_FILE).write_text(unverified_page(), encoding="utf-8")
    text = TextModel(
        dim=description.dim,
        prompts=description.prompts.prompts,
        default_prompt=description.prompts.default,
        tasks=description.prompts.tasks(),
        encoders=encoders,
        routes={task.value: name for task, name in description.routes.items()},
        default_encoder=description.default_encoder,
        graphs=written,
    )
    manifest = Manifest(
        schema=SCHEMA,
        model=files.model,
        source=files.source,
        licence=description.licence,
        kind=Kind.TEXT,
        target=recipe.target,
        precision=recipe.precision,
        files=describe_files(directory, text),
        tools={name: version(name) for name in TOOLS},
        fidelity=None,
        text=text,
    )
    _write_manifest(directory, manifest)
    return manifest


def seal(
    directory: Path,
    manifest: Manifest,
    verification: Verification,
    thresholds: Thresholds,
    treatments: tuple[Treatment, ...],
    stock_kernels: dict[str, str],
) -> Manifest:
    """Add the golden texts, the fidelity figures and their report, and name the final files in the manifest."""
    classes = [ClassFigures(one.arithmetic, one.fidelity) for one in verification.classes]
    cosine = cosine_report(classes, thresholds, verification.first.heldout)
    report = FidelityReport(cosine, treatments, stock_kernels)
    project_version = (ROOT / "VERSION").read_text(encoding="utf-8").strip()
    (directory / FIDELITY_FILE).write_text(to_json(report), encoding="utf-8")
    (directory / FIDELITY_PAGE_FILE).write_text(fidelity_page(report, manifest, project_version), encoding="utf-8")
    (directory / GOLDEN_FILE).write_text(to_json(verification.golden), encoding="utf-8")
    files = describe_files(directory, manifest.text)
    sealed = dataclasses.replace(manifest, files=files, fidelity=verification.first.fidelity)
    _write_manifest(directory, sealed)
    return sealed


def graph_names(description: Description) -> dict[Path, str]:
    """A name for each transformer's graph: «model» where there is one, else that of the first encoder that uses it."""
    names: dict[Path, str] = {}
    for name, encoder in description.encoders.items():
        names.setdefault(encoder.folder, name)
    return names if len(names) > 1 else dict.fromkeys(names, "model")


def _with(memories: dict[Path, WorkingMemory], encoders: dict[str, PlannedEncoder]) -> dict[str, PlannedEncoder]:
    return {
        name: dataclasses.replace(encoder, memory=memories.get(encoder.folder, encoder.memory))
        for name, encoder in encoders.items()
    }


def _encoder(
    name: str,
    encoder: PlannedEncoder,
    graph: str,
    layers: tuple[Layer, ...],
    reference: Reference,
    description: Description,
    directory: Path,
) -> Encoder:
    tokenizer = "tokenizer.json" if graph == "model" else f"{graph}.tokenizer.json"
    (directory / tokenizer).write_text(reference.tokenizer(name).to_str(), encoding="utf-8")
    prompts = {} if encoder.pooling.include_prompt else description.prompts.prompts
    return Encoder(
        architecture=encoder.family.model_type,
        tokenizer=tokenizer,
        graph=graph,
        width=encoder.width,
        max_tokens=encoder.max_tokens,
        pooling=encoder.pooling,
        layers=layers,
        prompt_tokens={prompt: reference.prompt_tokens(name, text) for prompt, text in prompts.items()},
        memory=encoder.memory,
    )


def _write_manifest(directory: Path, manifest: Manifest) -> None:
    (directory / MANIFEST_FILE).write_text(to_json(manifest), encoding="utf-8")
