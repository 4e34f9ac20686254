"""The tensors of the layers after pooling, from every kind of file that has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from build.errors import ModelNotFound, UnsupportedModel
from build.model.describe import describe
from build.pytorch.head import HeadLayers, read_head
from manifest import HEAD_FILE, ONLY_ENCODER, Activation, Layer, LayerKind
from tests.support.models import tiny_models
from tests.support.models.model_table import DPR_CONTEXT
from tests.support.models.tiny_description import Dense, LayerNorm, TinyModel
from tests.support.models.tiny_models import change

MODEL = TinyModel(
    "with-head", "bert", "bert", "BertModel", layers=(Dense(16), Dense(8, bias=False), LayerNorm()), normalize=True
)
PROJECTED = replace(DPR_CONTEXT, name="projected", settings={"projection_dim": 16})
DENSE = "2_Dense"


def head_of(directory: Path) -> HeadLayers:
    return read_head(directory, describe(directory, trust_remote_code=False))


def weights_of(directory: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.name}/{name}": tensor
        for path in directory.glob("*_*/model.safetensors")
        for name, tensor in load_file(path).items()
    }


def assert_same(found: HeadLayers, expected: dict[str, torch.Tensor]) -> None:
    assert set(found.tensors) == set(expected)
    for name, tensor in expected.items():
        assert found.tensors[name].dtype == np.float32
        np.testing.assert_array_equal(found.tensors[name], tensor.float().numpy())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tiny_models.copy(MODEL, tmp_path / "model")


def test_layers_name_their_tensors(directory: Path):
    found = head_of(directory)
    assert found.layers[ONLY_ENCODER] == (
        Layer(LayerKind.DENSE, "2_Dense/linear.weight", "2_Dense/linear.bias", Activation.TANH, None),
        Layer(LayerKind.DENSE, "3_Dense/linear.weight", None, Activation.TANH, None),
        Layer(LayerKind.LAYER_NORM, "4_LayerNorm/norm.weight", "4_LayerNorm/norm.bias", None, None),
        Layer(LayerKind.NORMALIZE, None, None, None, None),
    )
    assert_same(found, weights_of(directory))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tensors_of_16_bits_are_widened(directory: Path, dtype: torch.dtype):
    path = directory / DENSE / "model.safetensors"
    save_file({name: tensor.to(dtype) for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    assert_same(head_of(directory), weights_of(directory))


def test_tensors_can_be_pickled(directory: Path):
    expected = weights_of(directory)
    path = directory / DENSE / "model.safetensors"
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()
    assert_same(head_of(directory), expected)


@pytest.mark.parametrize("shard_size", ["1GB", "20KB"])
def test_a_projection_is_among_the_transformers_weights_or_in_one_of_their_shards(shard_size: str):
    directory = tiny_models.make(replace(PROJECTED, name=f"projected-{shard_size}", shard_size=shard_size))
    shards = list(directory.glob("*.safetensors"))
    assert (len(shards) > 1) == (shard_size == "20KB")
    weights = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    assert_same(head_of(directory), {name: weights[name] for name in weights if "encode_proj" in name})


def without_bias(folder: Path) -> None:
    path = folder / "model.safetensors"
    save_file({"linear.weight": load_file(path)["linear.weight"]}, path, {"format": "pt"})


def cut_off(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (without_bias, "linear.bias"),
        (cut_off, "linear.weight"),
        (lambda folder: (folder / "model.safetensors").unlink(), "linear.weight"),
    ],
)
def test_a_tensor_that_is_missing_is_named(directory: Path, spoil: Callable[[Path], None], name: str):
    spoil(directory / DENSE)
    with pytest.raises(ModelNotFound, match=f"^{DENSE} has no tensor {name}: the model directory is incomplete$"):
        head_of(directory)


def test_a_tensor_of_another_shape_is_named(directory: Path):
    change(directory / "3_Dense" / "config.json", lambda config: config.update(out_features=7))
    change(directory / "4_LayerNorm" / "config.json", lambda config: config.update(dimension=7))
    message = r"^3_Dense/linear.weight must have the shape \(7, 16\) of the layer's config, not \(8, 16\)$"
    with pytest.raises(UnsupportedModel, match=message):
        head_of(directory)


def test_a_bundle_holds_the_tensors_and_no_file_without_any(directory: Path, tmp_path: Path):
    found = head_of(directory)
    found.write(tmp_path)
    with np.load(tmp_path / HEAD_FILE, allow_pickle=False) as written:
        assert set(written) == set(found.tensors)
        for name, tensor in found.tensors.items():
            np.testing.assert_array_equal(written[name], tensor)
    (tmp_path / HEAD_FILE).unlink()
    HeadLayers({ONLY_ENCODER: ()}, {}).write(tmp_path)
    assert not (tmp_path / HEAD_FILE).exists()
