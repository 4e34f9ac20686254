"""The exported graph: fp32, with lengths left open, and nothing after the token embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from safetensors.torch import load_file, save_file

from build.errors import UnsupportedModel
from build.model.describe import describe
from build.model.trust import NO_TRUST
from build.progress import silence_libraries
from build.pytorch.export import OUTPUT, export
from manifest import ONLY_ENCODER
from tests.support.models import tiny_models
from tests.support.models.tiny_description import HIDDEN, TinyModel

MODEL = TinyModel("exported", "bert", "bert", "BertModel", dtype="float16")


def exported(directory: Path, work: Path) -> Path:
    family = describe(directory, trust_remote_code=False).encoders[ONLY_ENCODER].family
    with silence_libraries():
        return export(directory, family, work, NO_TRUST)


def test_weights_are_widened_and_lengths_are_open(tmp_path: Path):
    directory = tiny_models.make(MODEL)
    path = exported(directory, tmp_path)
    assert path == tmp_path / "export" / "model.onnx"
    graph = onnx.load(path).graph
    (output,) = graph.output
    assert output.name == OUTPUT
    batch, tokens, width = output.type.tensor_type.shape.dim
    assert (bool(batch.dim_param), bool(tokens.dim_param), width.dim_value) == (True, True, HIDDEN)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in graph.initializer}
    original = load_file(directory / "model.safetensors")["embeddings.word_embeddings.weight"]
    table = numpy_helper.to_array(stored["embeddings.word_embeddings.weight"])
    np.testing.assert_array_equal(table, original.float().numpy())


def without(directory: Path, name: str) -> None:
    path = directory / "model.safetensors"
    save_file({key: tensor for key, tensor in load_file(path).items() if key != name}, path, {"format": "pt"})


def test_a_pooler_that_is_missing_is_no_matter(tmp_path: Path):
    directory = tiny_models.copy(MODEL, tmp_path / "model")
    without(directory, "pooler.dense.weight")
    assert exported(directory, tmp_path / "work").exists()


def test_a_weight_that_is_missing_is_named(tmp_path: Path):
    directory = tiny_models.copy(MODEL, tmp_path / "model")
    without(directory, "encoder.layer.1.output.dense.weight")
    message = r"^the weights lack encoder.layer.1.output.dense.weight: the encoder is incomplete$"
    with pytest.raises(UnsupportedModel, match=message):
        exported(directory, tmp_path / "work")
