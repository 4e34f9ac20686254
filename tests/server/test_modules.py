"""Every module of sentence-transformers behind one transformer, through packaging, the real runtime and HTTP.

The transformer is exported once: what differs between these models lies behind it.
"""

from __future__ import annotations

import functools
import io
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from build.bundle.writer import write_unverified
from build.errors import BuildError, ModelNotFound, UnsupportedModel, VerificationFailed
from build.fidelity.runtime_process import RuntimeClient, serve
from build.graph.optimize import optimize
from build.kinds.text import package, transformers_of
from build.model.describe import describe
from build.model.families import Family
from build.model.fetch import fetch
from build.model.trust import NO_TRUST
from build.pipeline import BuildOptions, build_bundle
from build.progress import Progress, silence_libraries
from build.pytorch.export import export
from build.pytorch.head import read_head
from build.pytorch.reference import load_reference
from manifest import Kind, Manifest, Precision, Target, Task, read_manifest, sha256_of
from tests.support.models import tiny_models
from tests.support.models.model_table import MODULE_MODELS
from tests.support.models.originals import Original, assert_same_vector, original_of
from tests.support.models.tiny_models import WORD, TinyModel, change
from tests.support.server.server_process import embedding

TEXTS = {
    "empty": "",
    "one token": WORD,
    "words": "The ferry to the island leaves at seven in the morning.",
    "chinese and emoji": "图書館今天几点关门か? 😀",
    "far beyond the window": f"{WORD} stone paper, " * 200,
}
TASK_NAMES = {None: None, Task.QUERY: "query", Task.PASSAGE: "document"}
PASSAGE_NAMES = ("document", "passage")


@dataclass
class Served:
    model: TinyModel
    manifest: Manifest
    client: RuntimeClient
    original: Original

    def prompt(self, task: Task | None) -> str:
        names = {None: (self.model.default_prompt,), Task.QUERY: ("query",), Task.PASSAGE: PASSAGE_NAMES}[task]
        return next((self.model.prompts[name] for name in names if self.model.prompts.get(name)), "")

    def expected(self, text: str, task: Task | None, prompt: str | None = None) -> NDArray[np.float32]:
        way = TASK_NAMES[task] if self.model.router else None
        return self.original.embed(text, self.prompt(task) if prompt is None else prompt, way)

    def refuses(self, task: Task | None) -> bool:
        return task is None and self.model.router is not None and self.model.router.default is None


@pytest.fixture(scope="module")
def graphs() -> Iterator[functools._lru_cache_wrapper[Path]]:
    """A function that gives the finished graph of a transformer, made once for the same weights."""
    made: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as home:

        def graph_of(folder: Path, family: Family) -> Path:
            key = sha256_of(folder / "model.safetensors")
            if key not in made:
                work = Path(home) / key
                work.mkdir()
                made[key] = optimize(export(folder, family, work, NO_TRUST), work)
            return made[key]

        yield graph_of


def packaged(directory: Path, output: Path, graph_of) -> Path:
    files = fetch(str(directory), None, NO_TRUST)
    description = describe(files.directory, trust_remote_code=False)
    output.mkdir(parents=True)
    with silence_libraries():
        transformers = [
            replace(transformer, graph=graph_of(transformer.encoder.folder, transformer.encoder.family))
            for transformer in transformers_of(description, output)
        ]
        reference = load_reference(files.directory, description, NO_TRUST)
        head = read_head(files.directory, description)
        section = package(description, transformers, head, reference, output)
        write_unverified(output, files, None, Kind.TEXT, Target.AMD64, Precision.FP32, section)
    return output


@pytest.fixture(scope="module", params=MODULE_MODELS, ids=lambda model: model.name)
def served(request, graphs, tmp_path_factory) -> Iterator[Served]:
    directory = tiny_models.make(request.param)
    bundle = packaged(directory, tmp_path_factory.mktemp("bundles") / request.param.name, graphs)
    with embedding(bundle, tmp_path_factory.mktemp("served") / "log") as client:
        yield Served(request.param, read_manifest(bundle), client, original_of(request.param, directory))


@pytest.mark.parametrize("task", TASK_NAMES)
@pytest.mark.parametrize("kind", TEXTS)
def test_the_vector_is_the_originals(served: Served, kind: str, task: Task | None):
    if served.refuses(task):
        with pytest.raises(VerificationFailed, match=r"answered 400: .*config.task_type is missing"):
            served.client.embed(TEXTS[kind], task)
        return
    assert_same_vector(served.client.embed(TEXTS[kind], task), served.expected(TEXTS[kind], task))


def test_each_prompt_can_be_asked_for_by_its_name(served: Served):
    for name, prompt in served.model.prompts.items():
        vector = served.client.embed("the island", Task.PASSAGE, name)
        assert_same_vector(vector, served.expected("the island", Task.PASSAGE, prompt))


def test_different_texts_have_different_vectors(served: Served):
    """Else the tests above would prove nothing."""
    one, other = (served.client.embed(text, Task.QUERY) for text in (TEXTS["words"], "stone paper green"))
    assert np.abs(one - other).max() > 1e-3


def test_the_manifest_says_how_long_a_vector_is(served: Served):
    assert served.manifest.section.dim == len(served.client.embed(WORD, Task.QUERY))


def by_name(name: str) -> TinyModel:
    return next(model for model in MODULE_MODELS if model.name == name)


@pytest.mark.parametrize("name", ["router-of-models", "router-of-layers-normalized", "prompt-left-out-by-default"])
def test_a_whole_build_finds_no_difference_in_fp32(tmp_path: Path, name: str):
    """Verification takes every route, and the golden texts are asked for with prompts and tasks."""
    order = BuildOptions(
        str(tiny_models.make(by_name(name))), None, Target.AMD64, Precision.FP32, tmp_path / "b", force=False
    )
    result = build_bundle(order, Progress(stream=io.StringIO()))
    assert result.manifest.fidelity is not None
    assert result.manifest.fidelity.cosine.minimum >= 1 - 1e-6
    with serve(tmp_path / "b") as client:
        assert len(client.embed(WORD, Task.QUERY)) == result.manifest.section.dim


def other_shape(folder: Path) -> None:
    change(folder / "config.json", lambda config: config.update(out_features=7))


def without_bias(folder: Path) -> None:
    change(folder / "config.json", lambda config: config.update(bias=True))


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_shape, r"cannot load the model|must have the shape"),
        (without_bias, r"cannot load the model|has no tensor"),
        (without_weights, r"cannot load the model|has no tensor"),
        (cut_off, r"cannot load the model|has no tensor"),
    ],
)
def test_a_layer_whose_tensors_are_not_what_its_config_says_is_refused(tmp_path: Path, graphs, spoil, message: str):
    directory = tiny_models.copy(by_name("dense-tanh"), tmp_path / "model")
    spoil(next(directory.glob("*_Dense")))
    with pytest.raises((UnsupportedModel, ModelNotFound), match=message):
        packaged(directory, tmp_path / "bundle", graphs)


def test_a_transformer_in_a_folder_of_its_own_is_built(tmp_path: Path, graphs):
    directory = tiny_models.copy(by_name("dense-gelu"), tmp_path / "model")
    folder = directory / "0_Transformer"
    folder.mkdir()
    stay = ("modules.json", "config_sentence_transformers.json")
    for path in [path for path in directory.iterdir() if path.is_file() and path.name not in stay]:
        shutil.move(path, folder / path.name)
    change(directory / "modules.json", lambda modules: modules[0].update(path="0_Transformer"))
    with serve(packaged(directory, tmp_path / "bundle", graphs)) as client:
        for text in TEXTS.values():
            assert_same_vector(client.embed(text), original_of(by_name("dense-gelu"), directory).embed(text))


def test_a_bare_model_whose_texts_would_become_chat_messages_is_refused(tmp_path: Path):
    from tests.support.models.model_table import QWEN

    directory = tiny_models.copy(QWEN, tmp_path / "model")
    for name in ("modules.json", "config_sentence_transformers.json"):
        (directory / name).unlink()
    order = BuildOptions(str(directory), None, Target.AMD64, Precision.FP32, tmp_path / "bundle", force=False)
    with pytest.raises(BuildError, match=r"treats a text as a message: modules.json is missing"):
        build_bundle(order, Progress(stream=io.StringIO()))
