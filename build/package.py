"""Last stages: writes the bundle's files, unverified first, then sealed with what verification measured."""

from __future__ import annotations

import dataclasses
import json
import shutil
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer

from build.describe import Description
from build.model_files import CONFIG, ModelFiles
from build.recipes import Recipe
from build.verify import Verification
from build.weights import write_graph
from manifest import (
    CONFIG_FILE,
    FIDELITY_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    SCHEMA,
    TOKEN_GRAPH,
    TOKENIZER_FILE,
    Golden,
    Kind,
    Manifest,
    TextModel,
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
    files: ModelFiles, description: Description, recipe: Recipe, graph: Path, tokenizer: Tokenizer, directory: Path
) -> Manifest:
    """Write a bundle that can be served and claims nothing: no fidelity, no golden texts."""
    token_graph = write_graph(graph, directory)
    (directory / TOKENIZER_FILE).write_text(tokenizer.to_str(), encoding="utf-8")
    shutil.copyfile(files.directory / CONFIG, directory / CONFIG_FILE)
    (directory / GOLDEN_FILE).write_text(to_json(Golden(texts=())), encoding="utf-8")
    (directory / FIDELITY_FILE).write_text("{}\n", encoding="utf-8")
    manifest = Manifest(
        schema=SCHEMA,
        model=files.model,
        source=files.source,
        licence=description.licence,
        kind=Kind.TEXT,
        target=recipe.target,
        precision=recipe.precision,
        files=describe_files(directory),
        tools={name: version(name) for name in TOOLS},
        fidelity=None,
        text=TextModel(
            architecture=description.family.model_type,
            dim=description.dim,
            max_tokens=description.max_tokens,
            pooling=description.sentence.pooling,
            normalize=description.sentence.normalize,
            prompts=description.sentence.prompts,
            default_prompt=description.sentence.default_prompt,
            tasks=description.sentence.tasks(),
            graphs={TOKEN_GRAPH: token_graph},
        ),
    )
    _write_manifest(directory, manifest)
    return manifest


def seal(directory: Path, manifest: Manifest, recipe: Recipe, verification: Verification) -> Manifest:
    """Add the golden texts and the fidelity figures, and name the final files in the manifest."""
    figures = {recipe.arithmetic: dataclasses.asdict(verification.fidelity)}
    (directory / FIDELITY_FILE).write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (directory / GOLDEN_FILE).write_text(to_json(verification.golden), encoding="utf-8")
    sealed = dataclasses.replace(manifest, files=describe_files(directory), fidelity=verification.fidelity)
    _write_manifest(directory, sealed)
    return sealed


def _write_manifest(directory: Path, manifest: Manifest) -> None:
    (directory / MANIFEST_FILE).write_text(to_json(manifest), encoding="utf-8")
