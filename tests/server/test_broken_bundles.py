"""Bundles broken as by a fault of the build, so that their hashes fit: the gate or readiness catches each."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from build.errors import FidelityTooLow, VerificationFailed
from build.fidelity.seal import Verified, seal
from build.fidelity.thresholds import NO_OVERRIDES
from build.kinds.text import AssembledText, TextBuild
from build.model.trust import NO_TRUST
from build.precisions import PRECISIONS, PrecisionSpec
from build.pytorch.reference import load_reference
from manifest import (
    MANIFEST_FILE,
    Precision,
    TextModel,
    describe_files,
    read_manifest,
    write_manifest,
)
from tests.support.bundles.unverified import unverified
from tests.support.models import tiny_models
from tests.support.models.tiny_models import TinyModel, change
from tests.support.server.server_process import ready, started

PROMPTS = {"query": "walk under seven lights, river stone: ", "passage": "passage: "}
MODEL = TinyModel("to-break", "bert", "bert", "BertModel", normalize=True, prompts=PROMPTS)
NATIVE_PRODUCTS = "Encoder"
Break = Callable[[Path], None]


@dataclass(frozen=True)
class Made:
    """A model with its bundle, as the pipeline has it before verification and as it delivers it."""

    build: TextBuild
    spec: PrecisionSpec
    unsealed: Path
    sealed: Path

    def verify(self, bundle: Path) -> Verified:
        """As the pipeline does it, gate and all."""
        manifest = read_manifest(bundle)
        reference = load_reference(self.build.files.directory, self.build.description, NO_TRUST)
        assembled = AssembledText(manifest.section_as(TextModel), reference, self.spec, ())
        return assembled.verify(bundle, manifest, NO_OVERRIDES, bars=False)


def make(model: TinyModel, precision: Precision, directory: Path) -> Made:
    made = unverified(tiny_models.make(model), directory / "unsealed", precision)
    bundle = Made(made.build, PRECISIONS[precision], made.bundle, directory / "sealed")
    found = bundle.verify(bundle.unsealed)
    shutil.copytree(bundle.unsealed, bundle.sealed)
    seal(bundle.sealed, made.manifest, found)
    return bundle


@pytest.fixture(scope="module", params=[Precision.INT8, Precision.INT8_STOCK])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """In native kernels, and in onnxruntime's."""
    made = make(MODEL, request.param, tmp_path_factory.mktemp("broken"))
    graph = read_manifest(made.sealed).section.graphs["model"]
    assert (graph.ops is not None) == (request.param is Precision.INT8)
    return made


def copy(bundle: Path, directory: Path, spoil: Break) -> Path:
    """A broken copy, whose manifest has the sizes and hashes of what is in it now."""
    shutil.copytree(bundle, directory)
    spoil(directory)
    manifest = read_manifest(directory)
    files = describe_files(directory, manifest.section)
    write_manifest(directory, dataclasses.replace(manifest, files=files))
    return directory


def edit_text(**values: Any) -> Break:
    return lambda bundle: change(bundle / MANIFEST_FILE, lambda manifest: manifest["text"].update(values))


def another_pooling(bundle: Path) -> None:
    pooling = {"modes": ["cls"], "include_prompt": True}
    change(bundle / MANIFEST_FILE, lambda m: m["text"]["encoders"]["text"].update(pooling=pooling))


def a_shuffled_vocabulary(bundle: Path) -> None:
    def shuffle(tokenizer: dict) -> None:
        vocabulary = tokenizer["model"]["vocab"]
        words = [word for word in vocabulary if not word.startswith("[")]
        vocabulary.update(zip(words, [vocabulary[word] for word in reversed(words)], strict=True))

    change(bundle / "tokenizer.json", shuffle)


def a_tokenizer_of_another_kind(bundle: Path) -> None:
    tokenizer = tiny_models.TOKENIZERS["roberta"](bundle.parent / f"{bundle.name}-tokenizer")
    (bundle / "tokenizer.json").write_text(tokenizer.backend_tokenizer.to_str())


def matrices(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    """The weights of integer products, in the order of the graph's tensors."""
    products = [node for node in model.graph.node if "MatMul" in node.op_type or node.op_type == NATIVE_PRODUCTS]
    read = {name for node in products for name in node.input if not name.startswith("embeddings.")}
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in read and len(tensor.dims) > 1]
    return [tensor for tensor in tensors if tensor.data_type == onnx.TensorProto.INT8]


def scales_of(matrix: str) -> str:
    """The name of the scales that belong to a native or a stock graph's matrix."""
    return re.sub("_quantized$", "_scale", re.sub("[.]weight$", ".scale", matrix))


def edit_scale(edit: Callable[[np.ndarray], None], place: int = 0) -> Break:
    """Change the scales (columns,) of one matrix, which lie in the graph's own file."""

    def spoil(bundle: Path) -> None:
        model = onnx.load(bundle / "model.onnx", load_external_data=False)
        name = scales_of(matrices(model)[place].name)
        (tensor,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
        scales = onnx.numpy_helper.to_array(tensor).copy()
        edit(scales)
        tensor.CopyFrom(onnx.numpy_helper.from_array(scales, name))
        (bundle / "model.onnx").write_bytes(model.SerializeToString())

    return spoil


def one_column_ten_times_too_large(scales: np.ndarray) -> None:
    scales[0] *= 10


def all_columns_half_as_large_again(scales: np.ndarray) -> None:
    scales *= 1.5


def one_column_not_a_number(scales: np.ndarray) -> None:
    scales[0] = np.nan


def a_corrupted_layer(bundle: Path) -> None:
    """The bytes of the last matrix in reverse."""
    tensor = matrices(onnx.load(bundle / "model.onnx", load_external_data=False))[-1]
    assert uses_external_data(tensor)
    where, data = ExternalDataInfo(tensor), bytearray((bundle / "model.onnx.data").read_bytes())
    place = slice(where.offset, where.offset + where.length)
    data[place] = data[place][::-1]
    (bundle / "model.onnx.data").write_bytes(data)


BROKEN = {
    "wrong pooling": another_pooling,
    "shuffled vocabulary": a_shuffled_vocabulary,
    "scale of a column off": edit_scale(one_column_ten_times_too_large),
    "prompts empty": edit_text(prompts=dict.fromkeys(PROMPTS, "")),
    "prompt of another task": edit_text(tasks={"query": "passage", "passage": "query"}),
    "layer corrupted": a_corrupted_layer,
}
SLIGHTLY = {"scale of a weight off": edit_scale(all_columns_half_as_large_again)}
"""Half as large again in one of twelve matrices moves this model's mean to 0.996: floors see it, the gate need not."""

UNSERVABLE = {"tokenizer of another kind": a_tokenizer_of_another_kind}
"""Whose numbers are beyond the model's table."""

LOST = {"prompts lost": edit_text(prompts={}, tasks={})}

SEALED = BROKEN | SLIGHTLY | UNSERVABLE | LOST


def test_the_sound_bundle_passes_and_turns_ready(made: Made, tmp_path: Path):
    """Else the tests below would prove nothing; a copy of it has its own hashes, like theirs."""
    bundle = copy(made.sealed, tmp_path / "bundle", lambda bundle: None)
    with ready(bundle, tmp_path / "log") as server:
        assert server.embed("a text", task_type="query").status == 200


@pytest.mark.parametrize("way", SEALED)
def test_a_sealed_bundle_that_is_broken_does_not_turn_ready(made: Made, tmp_path: Path, way: str):
    bundle = copy(made.sealed, tmp_path / "bundle", SEALED[way])
    with started(bundle, tmp_path / "log") as server:
        assert server.exit_status() != 0
        assert "not serving: the golden request /vectors " in server.output()
        assert server.output().count("not serving") == 1


@pytest.mark.parametrize("way", BROKEN)
def test_a_broken_bundle_is_not_sealed(made: Made, tmp_path: Path, way: str):
    bundle = copy(made.unsealed, tmp_path / "bundle", BROKEN[way])
    with pytest.raises(FidelityTooLow, match="is too far from the original"):
        made.verify(bundle)


@pytest.mark.parametrize("way", UNSERVABLE)
def test_a_bundle_that_cannot_serve_every_text_is_not_sealed(made: Made, tmp_path: Path, way: str):
    bundle = copy(made.unsealed, tmp_path / "bundle", UNSERVABLE[way])
    with pytest.raises(VerificationFailed, match="the runtime answered 500"):
        made.verify(bundle)


def test_a_weight_that_is_not_a_number_is_not_sealed_and_not_served(made: Made, tmp_path: Path):
    spoil = edit_scale(one_column_not_a_number, place=-1)
    with pytest.raises(VerificationFailed, match="the runtime answered 500"):
        made.verify(copy(made.unsealed, tmp_path / "unsealed", spoil))
    with started(copy(made.sealed, tmp_path / "sealed", spoil), tmp_path / "log") as server:
        assert server.exit_status() != 0
        assert "not serving: the model returned a vector that is not finite" in server.output()


def test_a_prompt_that_the_bundle_has_lost_is_asked_for_all_the_same(made: Made, tmp_path: Path):
    """What belongs in front of a text is the original's to say: else both sides would leave it out and agree."""
    with pytest.raises(FidelityTooLow, match=r"\(task (query|passage)\)"):
        made.verify(copy(made.unsealed, tmp_path / "bundle", LOST["prompts lost"]))


def test_a_default_prompt_that_the_bundle_has_lost_is_missed(tmp_path: Path):
    model = dataclasses.replace(MODEL, name="default-prompt", default_prompt="query")
    made = make(model, Precision.INT8, tmp_path)
    assert json.loads((made.sealed / MANIFEST_FILE).read_text())["text"]["default_prompt"] == "query"
    with pytest.raises(FidelityTooLow):
        made.verify(copy(made.unsealed, tmp_path / "bundle", edit_text(default_prompt=None)))
