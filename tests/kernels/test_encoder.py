"""The op of a whole encoder: the bits of the other ops one after another, and what it refuses."""

from __future__ import annotations

import re

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifest import PoolingMode
from runtime.text.head import normalize
from runtime.text.pooling import pool
from tests.support.graphs import kernel_ops as ops
from tests.support.graphs.encoder_inputs import EMPTY, encoder, step_by_step
from tests.support.graphs.kernel_ops import Op, graph, options, run
from tests.support.graphs.op_inputs import floats

ISAS = ops.available()
NO_WORD = "must have an id of the word table, 0 to 49, not"
ATTRIBUTES = {"heads": 2, "activation": "gelu"}
LENGTH = st.sampled_from([0, 1, 2, 5, 16, 17, 24])
LENGTHS = st.lists(LENGTH, min_size=1, max_size=4).map(tuple)
NOT_POOLED = np.zeros((0, 3), np.int64)
EPSILONS = {"epsilon": 1e-3, "input_epsilon": 1e-2}

pytestmark = pytest.mark.filterwarnings("error")


def some_of(tokens: int, chosen: set[int]) -> list[int]:
    return sorted({row for row in chosen if row < tokens})


@pytest.mark.parametrize("isa", ISAS)
@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=LENGTHS,
    shape=st.sampled_from([(16, 2), (36, 3), (20, 1), (330, 5)]),
    middle=st.sampled_from([7, 40, 330]),
    layers=st.integers(1, 3),
    flags=st.tuples(*[st.booleans()] * 3),
    bias=st.sampled_from([0, 4]),
    mask=st.sampled_from(["none", "causal"]),
    rows=st.none() | st.sets(st.integers(0, 60), max_size=5),
    threads=st.sampled_from([1, 2, 3]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_it_has_the_bits_of_its_steps(isa, seed, lengths, shape, middle, layers, flags, bias, mask, rows, threads):
    (width, heads), (before, smooth, types) = shape, flags
    inputs = encoder(
        seed,
        lengths,
        width=width,
        heads=heads,
        middle=middle,
        layers=layers,
        before=before,
        smooth=smooth,
        bias=bias,
        types=types,
        some=None if rows is None else some_of(sum(lengths), rows),
    )
    attributes = {"heads": heads, "activation": "gelu", "mask": mask, **EPSILONS}
    expected = step_by_step(inputs, isa, **attributes)
    np.testing.assert_array_equal(run("Encoder", inputs, isa, threads, **attributes), expected)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("before", [False, True])
def test_a_text_has_the_same_bits_alone_and_in_a_batch_on_any_number_of_threads(isa, before):
    lengths = (5, 30, 1, 16, 17, 70)
    inputs = encoder(3, lengths, width=48, heads=3, middle=330, before=before, position=None)
    whole = run("Encoder", inputs, isa, **{**ATTRIBUTES, "heads": 3})
    starts = np.cumsum([0, *lengths])
    for threads in (1, 2, 7):
        op = Op("Encoder", inputs, isa, threads, **{**ATTRIBUTES, "heads": 3})
        np.testing.assert_array_equal(op.run(), whole)
        for start, length in zip(starts, lengths, strict=False):
            text = {"ids": inputs["ids"][start : start + length], "lengths": np.array([length])}
            np.testing.assert_array_equal(op.run(**text), whole[start : start + length])


@pytest.mark.parametrize("isa", ISAS)
def test_a_word_that_is_not_finite_makes_its_own_text_nan_and_no_other(isa):
    inputs = encoder(4, (4, 20, 6))
    inputs["word_scale"][inputs["ids"][10]] = np.nan
    touched = np.isin(inputs["ids"], inputs["ids"][10])
    texts = np.split(np.arange(30), [4, 24])
    op = Op("Encoder", inputs, isa, **ATTRIBUTES)
    y = op.run()
    for text in texts:
        assert np.isnan(y[text]).all() if touched[text].any() else np.isfinite(y[text]).all()


@pytest.mark.parametrize("rows", [None, []])
def test_a_call_without_texts(rows):
    nothing = np.zeros(0, np.int64)
    inputs = encoder(some=rows, ids=nothing, lengths=nothing)
    assert run("Encoder", inputs, **ATTRIBUTES).shape == (0, 16)


@pytest.mark.parametrize("isa", ISAS)
@given(
    seed=st.integers(0, 2**32 - 1),
    texts=st.lists(st.tuples(LENGTH, st.integers(0, 26), st.integers(0, 26), st.booleans()), min_size=1, max_size=5),
    width=st.sampled_from([16, 20, 330]),
    rows=st.none() | st.sets(st.integers(0, 60), max_size=5),
    threads=st.sampled_from([1, 3]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_a_text_has_the_mean_of_its_tokens_and_unit_length_if_asked(isa, seed, texts, width, rows, threads):
    lengths = tuple(length for length, *_ in texts)
    some = list(range(sum(lengths))) if rows is None else some_of(sum(lengths), rows)
    pooled = [(begin, begin + count, normalized) for _, begin, count, normalized in texts]
    inputs = encoder(seed, lengths, width=width, some=None if rows is None else some, pooled=pooled)
    op = Op("Encoder", inputs, isa, threads, **ATTRIBUTES)
    tokens, vectors = op.run(pooled=NOT_POOLED), op.run()
    assert vectors.shape == (len(texts), width)
    starts = np.cumsum([0, *lengths])
    for vector, start, length, (begin, end, normalized) in zip(vectors, starts, lengths, pooled, strict=False):
        of_text = tokens[[start + begin <= row < start + min(end, length) for row in some]]
        mean = pool(of_text, (PoolingMode.MEAN,), 0) if len(of_text) else np.zeros(width, np.float32)
        expected, tolerance = (normalize(mean), 1) if normalized else (mean, 0)
        np.testing.assert_array_max_ulp(vector, expected, maxulp=tolerance)


@pytest.mark.parametrize("isa", ISAS)
def test_a_text_has_the_same_vector_alone_and_in_a_batch(isa):
    lengths = (5, 30, 1, 17, 70)
    pooled = [(1, length, 1) for length in lengths]
    inputs = encoder(3, lengths, width=48, position=None, pooled=pooled)
    op = Op("Encoder", inputs, isa, 2, **ATTRIBUTES)
    whole, start = op.run(), 0
    for index, length in enumerate(lengths):
        text = {"ids": inputs["ids"][start : start + length], "lengths": np.array([length])}
        np.testing.assert_array_equal(op.run(**text, pooled=np.array(pooled[index : index + 1]))[0], whole[index])
        start += length


def test_a_vector_that_is_not_finite_is_no_other_texts():
    inputs = encoder(4, (4, 20, 6), pooled=[(0, 4, 1), (0, 20, 1), (0, 6, 0)])
    inputs["word_scale"][inputs["ids"][10]] = np.nan
    touched = [np.isin(text, inputs["ids"][10]).any() for text in np.split(inputs["ids"], [4, 24])]
    vectors = run("Encoder", inputs, **ATTRIBUTES)
    assert touched[1]
    for vector, is_touched in zip(vectors, touched, strict=True):
        assert np.isnan(vector).all() if is_touched else np.isfinite(vector).all()


def test_texts_without_tokens_have_zeros():
    nothing = np.zeros(0, np.int64)
    inputs = encoder(ids=nothing, lengths=np.zeros(2, np.int64), pooled=[(0, 3, 1), (0, 0, 0)])
    np.testing.assert_array_equal(run("Encoder", inputs, **ATTRIBUTES), np.zeros((2, 16)))


def test_runs_of_different_sizes_after_another_on_one_session():
    """Memory is kept from run to run, and a large buffer is not."""
    inputs = encoder(5, (3, 4), width=330, heads=5, position=None)
    op = Op("Encoder", inputs, heads=5, activation="gelu")
    first = op.run()
    long = np.resize(inputs["ids"], 3000)
    assert np.isfinite(op.run(ids=long, lengths=np.array([1500, 1500]))).all()
    np.testing.assert_array_equal(op.run(), first)


def test_a_session_works_after_an_error():
    op = Op("Encoder", encoder(), **ATTRIBUTES)
    before = op.run()
    with pytest.raises(Exception, match=f"{NO_WORD} 99"):
        op.run(ids=np.full(7, 99))
    np.testing.assert_array_equal(op.run(), before)


SCALE = "a row for each group of input channels"


class TestRefusals:
    @pytest.mark.parametrize(
        ("changed", "attributes", "sentence"),
        [
            ({}, {"heads": 0}, "heads must be 1 to 1024, not 0"),
            ({}, {"heads": 5}, "heads must divide the width, 16, and 5 do not"),
            ({}, {"mask": "full"}, 'mask must be none or causal, not "full"'),
            ({}, {"activation": "swish"}, "activation must be none, gelu, gelu_tanh, relu, silu, tanh or quick_gelu"),
            ({}, {"first_position": 21}, "text 1 must have at most 3 tokens, one per position, not 4: truncate it"),
            ({"ids": np.array([0, 1, 2, 3, 50, 5, 6])}, {}, f"token 1 of text 1 {NO_WORD} 50"),
            ({"lengths": np.array([3, 3])}, {}, "lengths must add up to the number of tokens, 7, not to 6"),
            ({"relative_bias": floats(2, 4)}, {}, "relative_bias must have the shape [2, an odd number of distances]"),
            ({"word_scale": floats(49)}, {}, "word_scale must have the shape [50]"),
            ({"beta": floats(15)}, {}, "beta must have the shape [16]"),
            ({"0.joined_bias": floats(47)}, {}, f"layer 0: joined_scale must have the shape [1, 47], {SCALE}"),
            ({"1.weight1": EMPTY}, {}, "layer 1: weight1 must have the element type 3, not 1"),
            ({"1.scale1": EMPTY}, {}, "layer 1: scale1 must have the shape [1, 40], a row for each group"),
            ({"1.bias2": floats(15)}, {}, f"layer 1: scale2 must have the shape [1, 15], {SCALE}"),
            ({"1.weight2": np.zeros((1, 9, 16, 4), np.int8)}, {}, "layer 1: the input of weight2 must have 33 to 36"),
            ({"0.layer_beta": EMPTY}, {}, "layer 0: layer_gamma and layer_beta must both be given"),
            ({"1.output_gamma": floats(15)}, {}, "layer 1: output_gamma must have the shape [16]"),
            ({"0.joined_smooth": floats(15)}, {}, "layer 0: joined_smooth must have the shape [16]"),
            ({"1.smooth2": floats(39)}, {}, "layer 1: smooth2 must have the shape [40]"),
        ],
    )
    def test_what_does_not_fit(self, changed, attributes, sentence):
        with pytest.raises(Exception, match=re.escape(f'cpu2vec Encoder "tested": {sentence}')):
            run("Encoder", encoder(**changed), **{**ATTRIBUTES, **attributes})

    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            ({"rows": None}, "rows and the last layer's query_weight must be given together"),
            ({"rows": np.array([[1]])}, "rows must be one-dimensional"),
            ({"rows": np.array([3, 3])}, "rows[1] must be 4 to 6, because rows ascend, not 3"),
            ({"rows": np.array([7])}, "rows[0] must be 0 to 6, because rows ascend, not 7"),
            ({"1.query_bias": floats(15)}, f"layer 1: query_scale must have the shape [1, 15], {SCALE}"),
        ],
    )
    def test_rows_that_do_not_fit(self, changed, sentence):
        with pytest.raises(Exception, match=re.escape(f'cpu2vec Encoder "tested": {sentence}')):
            run("Encoder", encoder(some=[1, 5], **changed), **ATTRIBUTES)

    @pytest.mark.parametrize(
        ("pooled", "sentence"),
        [
            ([(0, 1, 1)], "pooled must have the shape [2, 3], or [0, 3]"),
            ([(0, 1), (0, 1)], "pooled must have the shape [2, 3], or [0, 3]"),
            (np.zeros((0, 2), np.int64), "pooled must have the shape [2, 3], or [0, 3]"),
            ([(0, 1, 1), (-1, 1, 1)], "pooled[1] must be of tokens from 0 on, not of -1 to 1"),
            ([(3, 2, 1), (0, 1, 1)], "pooled[0] must be of tokens from 0 on, not of 3 to 2"),
            ([(0, 1, 2), (0, 1, 1)], "pooled[0] must be normalized or not, 1 or 0, not 2"),
        ],
    )
    def test_pooling_that_does_not_fit(self, pooled, sentence):
        with pytest.raises(Exception, match=re.escape(f'cpu2vec Encoder "tested": {sentence}')):
            run("Encoder", encoder(pooled=pooled), **ATTRIBUTES)

    def test_a_width_of_another_layer(self):
        other = {f"1.{name[2:]}": value for name, value in encoder(width=20).items() if name.startswith("1.")}
        with pytest.raises(Exception, match=re.escape("layer 1: joined_bias must have the shape [48]")):
            run("Encoder", encoder(**other), **ATTRIBUTES)

    def test_a_query_before_the_last_layer(self):
        last = encoder(layers=1, some=[1])
        other = {name: value for name, value in last.items() if name.startswith("0.")}
        with pytest.raises(Exception, match="layer 0: only the last layer may have a query"):
            run("Encoder", encoder(**other), **ATTRIBUTES)

    @pytest.mark.parametrize("left", [0, 1, 39])
    def test_layers_that_are_cut_off(self, left):
        inputs = encoder()
        of_last = [name for name in inputs if name.startswith("1.")]
        assert len(of_last) == 40
        kept = {name: value for name, value in inputs.items() if name not in of_last[left:]}
        if left in (0, 39):  # what is left out then is a layer, or a part that may be left out
            assert run("Encoder", kept, **ATTRIBUTES).shape == (7, 16)
            return
        with pytest.raises(Exception, match="layer 1: joined_scale must be an initializer"):
            run("Encoder", kept, **ATTRIBUTES)

    @pytest.mark.parametrize(
        "fed", ["word", "relative_bias", "0.weight1", "1.joined_scale", "1.smooth2", "0.layer_beta"]
    )
    def test_weights_that_are_fed(self, fed):
        inputs = encoder(bias=4, smooth=True)
        initializers = tuple(name for name in inputs if name not in (*ops.FED, fed))
        model = graph("Encoder", inputs, initializers, **ATTRIBUTES)
        layer = f"layer {fed[0]}: " if "." in fed else ""
        sentence = f'cpu2vec Encoder "tested": {layer}{fed.split(".")[-1]} must be an initializer'
        with pytest.raises(Exception, match=re.escape(sentence)):
            ort.InferenceSession(model.SerializeToString(), options(), providers=["CPUExecutionProvider"])
