"""The layers after pooling against formulas in float64, and the message for each kind of wrong tensors."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from manifest import HEAD_FILE, Activation, BundleError, Layer, LayerKind
from runtime.text.head import ACTIVATIONS, Head, normalize, normalize_rows, read_head
from tests.support.bundles.text_models import NORMALIZE, an_encoder

finite = st.floats(-100, 100, width=32)
vectors = st.integers(1, 64).flatmap(lambda size: arrays(np.float32, size, elements=finite))

FORMULAS = {
    Activation.IDENTITY: lambda x: x,
    Activation.TANH: math.tanh,
    Activation.RELU: lambda x: max(x, 0.0),
    Activation.GELU: lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2.0)),
    Activation.SILU: lambda x: x / (1.0 + math.exp(-x)),
    Activation.SIGMOID: lambda x: 1.0 / (1.0 + math.exp(-x)),
}
RANDOM = np.random.default_rng(3)
WEIGHT, BIAS = (RANDOM.standard_normal(shape).astype(np.float32) for shape in ((3, 5), (3,)))
VECTOR = RANDOM.standard_normal(5).astype(np.float32)
DENSE = Layer(LayerKind.DENSE, weight="w", bias="b", activation=Activation.IDENTITY)


def test_every_activation_of_the_manifest_is_there():
    assert set(ACTIVATIONS) == set(Activation) == set(FORMULAS)


@pytest.mark.parametrize("activation", Activation)
@given(vector=vectors)
def test_an_activation_is_its_formula(activation: Activation, vector: np.ndarray):
    found = ACTIVATIONS[activation](vector)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [FORMULAS[activation](x) for x in vector.tolist()], atol=1e-5, rtol=1e-5)


def test_what_follows_a_first_layer_that_normalizes():
    tensors = {"w": WEIGHT, "b": BIAS}
    whole = Head((NORMALIZE, DENSE, NORMALIZE), tensors)
    rest = whole.after_normalizing()
    assert rest is not None
    np.testing.assert_array_equal(rest.apply(normalize(VECTOR)), whole.apply(VECTOR))
    for layers in ((), (DENSE, NORMALIZE)):
        assert Head(layers, tensors).after_normalizing() is None


@pytest.mark.parametrize("bias", ["b", None])
def test_dense_multiplies_by_its_weight_and_adds_its_bias(bias: str | None):
    layer = Layer(LayerKind.DENSE, weight="w", bias=bias, activation=Activation.TANH)
    expected = np.tanh(WEIGHT.astype(np.float64) @ VECTOR + (BIAS if bias else 0))
    np.testing.assert_allclose(Head((layer,), {"w": WEIGHT, "b": BIAS}).apply(VECTOR), expected, atol=1e-6)


@given(rows=arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 400)), elements=finite))
def test_rows_are_normalized_with_the_bits_that_each_has_alone(rows: np.ndarray):
    found = normalize_rows(rows)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.stack([normalize(row) for row in rows]))


@pytest.mark.parametrize("layers", [(), (NORMALIZE,), (DENSE, NORMALIZE), (DENSE, Layer(LayerKind.TRUNCATE, size=2))])
def test_layers_give_each_row_the_bits_that_it_has_alone(layers: tuple[Layer, ...]):
    head = Head(layers, {"w": WEIGHT, "b": BIAS})
    rows = np.random.default_rng(4).standard_normal((7, 5)).astype(np.float32)
    np.testing.assert_array_equal(head.apply_all(rows), np.stack([head.apply(row) for row in rows]))


def test_layer_norm_is_its_formula():
    scale, shift = (RANDOM.standard_normal(5).astype(np.float32) for _ in range(2))
    layer = Layer(LayerKind.LAYER_NORM, weight="w", bias="b")
    exact = VECTOR.astype(np.float64)
    expected = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5) * scale + shift
    np.testing.assert_allclose(Head((layer,), {"w": scale, "b": shift}).apply(VECTOR), expected, atol=1e-6)


def test_layers_follow_one_another():
    layers = (DENSE, NORMALIZE, Layer(LayerKind.TRUNCATE, size=2))
    product = WEIGHT.astype(np.float64) @ VECTOR + BIAS
    found = Head(layers, {"w": WEIGHT, "b": BIAS}).apply(VECTOR)
    np.testing.assert_allclose(found, (product / np.linalg.norm(product))[:2], atol=1e-6)


def test_without_layers_a_vector_stays_as_it_is():
    np.testing.assert_array_equal(Head((), {}).apply(VECTOR), VECTOR)


@given(vectors)
def test_a_normalized_vector_has_length_one_or_is_zero(vector):
    norm = np.linalg.norm(normalize(vector).astype(np.float64))
    assert abs(norm - 1) < 1e-5 or np.linalg.norm(vector) < 1e-6
    assert normalize(vector).dtype == np.float32


@given(vectors)
def test_normalizing_keeps_the_direction(vector):
    expected = vector.astype(np.float64) / max(np.linalg.norm(vector.astype(np.float64)), 1e-12)
    np.testing.assert_allclose(normalize(vector), expected, atol=1e-5)


def test_a_vector_with_nan_has_nothing_else_when_normalized():
    assert np.isnan(normalize(np.array([1, np.nan, 2], dtype=np.float32))).all()


def test_a_zero_vector_stays_zero():
    np.testing.assert_array_equal(normalize(np.zeros(3, dtype=np.float32)), np.zeros(3))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "head.npz has no tensor w"),
        ({"w": WEIGHT}, "head.npz has no tensor b"),
        ({"w": WEIGHT, "b": BIAS[:2]}, r"head.npz: b must have the shape \(3,\), not \(2,\)"),
    ],
)
def test_tensors_that_are_missing_or_do_not_fit_are_named(tensors: dict, message: str):
    with pytest.raises(BundleError, match=message):
        Head((DENSE,), tensors)


def test_tensors_are_read_from_the_bundle(tmp_path: Path):
    np.savez(tmp_path / HEAD_FILE, w=WEIGHT, b=BIAS)
    head = read_head(tmp_path, {"text": an_encoder(layers=(DENSE,))})["text"]
    np.testing.assert_allclose(head.apply(VECTOR), WEIGHT @ VECTOR + BIAS, atol=1e-6)


def test_a_model_without_tensors_needs_no_file(tmp_path: Path):
    np.testing.assert_array_equal(read_head(tmp_path, {"text": an_encoder()})["text"].apply(VECTOR), VECTOR)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def pickled(path: Path) -> None:
    np.savez(path, w=np.array([{"an": "object"}], dtype=object), b=BIAS)


@pytest.mark.parametrize("spoil", [Path.unlink, damage, pickled, lambda path: path.write_bytes(b"")])
def test_a_file_that_is_missing_damaged_or_pickled_is_named(tmp_path: Path, spoil):
    path = tmp_path / HEAD_FILE
    np.savez(path, w=WEIGHT, b=BIAS)
    spoil(path)
    with pytest.raises(BundleError, match=r"head.npz cannot be read"):
        read_head(tmp_path, {"text": an_encoder(layers=(DENSE,))})
