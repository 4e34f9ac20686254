"""The native kernels inside onnxruntime: every instruction set of this machine, compared with numpy in float64."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build.quantization.groups import channel_groups
from tests.support.graphs import kernel_ops as ops
from tests.support.graphs.kernel_ops import Op, random_linear_map, run
from tests.support.graphs.op_inputs import attention_inputs, embedding_inputs

ISAS = ops.available()
ODD = st.sampled_from([1, 3, 4, 15, 16, 17, 32, 48, 52, 64, 80, 100, 128, 192, 200, 312, 320, 321, 384, 641])
GROUP_EDGES = [319, 320, 321, 640, 641, 1281]
"""Channels of one full group, one less and one more, of two full groups, and with a last group of one channel."""
MASKS = ["none", "causal"]
MASK = st.sampled_from(MASKS)
ROWS = st.sampled_from([0, 1, 2, 7, 8, 9, 16, 31, 33, 70, 129])
SEED = st.integers(0, 2**32 - 1)

pytestmark = pytest.mark.filterwarnings("error")
examples = settings(max_examples=25, deadline=None, derandomize=True)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    return request.param


def linear_inputs(
    rng: np.random.Generator, rows: int, k: int, n: int, *, smooth=False, shift=False, norm=False
) -> dict:
    mapping = random_linear_map(rng, k, n, smooth, shift)
    x = (rng.normal(size=(rows, k)) * 3 + 0.5).astype(np.float32)
    residual = rng.normal(size=(rows, n)).astype(np.float32) if norm else None
    gamma, beta = (rng.normal(size=n).astype(np.float32) if norm else None for _ in range(2))
    return {
        "map": mapping,
        "inputs": {
            "x": x,
            **mapping_inputs(mapping),
            "residual": residual,
            "gamma": gamma,
            "beta": beta,
        },
    }


def input_norm(rng: np.random.Generator, k: int) -> dict:
    return {name: rng.normal(size=k).astype(np.float32) for name in ("input_gamma", "input_beta")}


def mapping_inputs(mapping: ops.LinearMap) -> dict:
    return {**mapping.inputs(), **mapping.scaling_inputs()}


def channels_of_groups(k: int) -> list[slice]:
    ends = np.cumsum(channel_groups(k)).tolist()
    return [slice(end - size, end) for end, size in zip(ends, channel_groups(k), strict=True)]


class TestLinear:
    @pytest.mark.parametrize("isa", ISAS)
    @given(seed=SEED, rows=ROWS, k=ODD, n=ODD, smooth=st.booleans(), shift=st.booleans())
    @examples
    def test_product_is_that_of_the_quantized_rows(self, isa, seed, rows, k, n, smooth, shift):
        case = linear_inputs(np.random.default_rng(seed), rows, k, n, smooth=smooth, shift=shift)
        expected = case["map"].apply(case["inputs"]["x"]) if rows else np.zeros((0, n))
        np.testing.assert_allclose(run("Linear", case["inputs"], isa), expected, rtol=1e-4, atol=2e-4)

    @pytest.mark.parametrize("isa", ISAS)
    @given(seed=SEED, rows=ROWS.filter(bool), n=ODD)
    @examples
    def test_activation_comes_before_residual_and_normalization(self, isa, seed, rows, n):
        case = linear_inputs(np.random.default_rng(seed), rows, 40, n, norm=True)
        inputs = case["inputs"]
        y = ops.ACTIVATIONS["gelu"](case["map"].apply(inputs["x"])) + inputs["residual"]
        expected = ops.layer_norm(y, inputs["gamma"], inputs["beta"], 1e-3)
        actual = run("Linear", inputs, isa, activation="gelu", epsilon=1e-3)
        # A row of one channel has no variance besides rounding errors.
        np.testing.assert_allclose(actual, expected, rtol=2e-3, atol=2e-3 if n > 3 else 0.1)

    @pytest.mark.parametrize("activation", ops.ACTIVATIONS)
    def test_activations(self, isa, activation):
        x = np.linspace(-12, 12, 4000, dtype=np.float32)[:, np.newaxis]
        identity = ops.LinearMap(np.full((1, 1), 1, np.int8), np.ones((1, 1), np.float32), np.zeros(1, np.float32))
        actual = run("Linear", {"x": x, **identity.inputs()}, isa, activation=activation)
        expected = ops.ACTIVATIONS[activation](x.astype(np.float64))
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=6e-5)

    @pytest.mark.parametrize("isa", ISAS)
    @given(seed=SEED, rows=ROWS, k=ODD.filter(lambda k: k > 3), n=ODD, after=st.booleans(), smooth=st.booleans())
    @examples
    def test_the_input_may_be_normalized_first(self, isa, seed, rows, k, n, after, smooth):
        rng = np.random.default_rng(seed)
        case = linear_inputs(rng, rows, k, n, smooth=smooth, norm=after and n > 3)
        inputs = {**case["inputs"], **input_norm(rng, k)}
        read = ops.layer_norm(inputs["x"], inputs["input_gamma"], inputs["input_beta"], 1e-3)
        expected = case["map"].apply(read) if rows else np.zeros((0, n))
        if inputs["residual"] is not None:
            expected = ops.layer_norm(expected + inputs["residual"], inputs["gamma"], inputs["beta"], 1e-2)
        actual = run("Linear", inputs, isa, epsilon=1e-2, input_epsilon=1e-3)
        # A normalized value that rounds the other way moves one activation by one step.
        step = (np.abs(read).max(initial=0) * 2 + 1) * 2 / ops.LEVELS * 1.5 / math.sqrt(k)
        np.testing.assert_allclose(actual, expected, rtol=5e-3, atol=2e-3 + step * (5 if after else 1))

    def test_a_norm_before_changes_no_bits_of_other_rows_or_on_threads(self, isa):
        rng = np.random.default_rng(21)
        inputs = {**linear_inputs(rng, 150, 330, 48, norm=True)["inputs"], **input_norm(rng, 330)}
        whole = run("Linear", inputs, isa)
        for threads in (1, 2, 7):
            op = Op("Linear", inputs, isa, threads)
            for first, last in ((0, 150), (0, 1), (3, 12), (64, 150)):
                part = {name: inputs[name][first:last] for name in ("x", "residual")}
                np.testing.assert_array_equal(op.run(**part), whole[first:last])

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_norm_before_hides_nothing_that_is_not_finite(self, isa, value):
        rng = np.random.default_rng(22)
        inputs = {**linear_inputs(rng, 9, 330, 20)["inputs"], **input_norm(rng, 330)}
        op = Op("Linear", inputs, isa, activation="quick_gelu")
        whole = op.run()
        for column in (0, 191, 192, 329):
            x = inputs["x"].copy()
            x[4, column] = value
            y = op.run(x=x)
            assert np.isnan(y[4]).all()
            np.testing.assert_array_equal(np.delete(y, 4, 0), np.delete(whole, 4, 0))

    def test_all_instruction_sets_give_the_same_bits(self):
        case = linear_inputs(np.random.default_rng(5), 37, 700, 84, smooth=True, shift=True)
        scalar = run("Linear", case["inputs"], "scalar")
        for isa in ISAS:
            np.testing.assert_array_equal(run("Linear", case["inputs"], isa), scalar, isa)

    @pytest.mark.parametrize("k", GROUP_EDGES)
    def test_every_group_of_input_channels_has_its_own_grid(self, isa, k):
        rng = np.random.default_rng(k)
        mapping = random_linear_map(rng, k, 37, smooth=True)
        x = rng.normal(size=(19, k)).astype(np.float32)
        for group, channels in enumerate(channels_of_groups(k)):
            x[:, channels] *= 10.0**-group  # one grid for all would round the last group to nothing
        actual = run("Linear", {"x": x, **mapping_inputs(mapping)}, isa)
        np.testing.assert_allclose(actual, mapping.apply(x), rtol=1e-4, atol=2e-4)

    @pytest.mark.parametrize("k", GROUP_EDGES)
    def test_one_group_that_is_not_finite_is_enough(self, isa, k):
        inputs = linear_inputs(np.random.default_rng(k), 5, k, 20)["inputs"]
        op = Op("Linear", inputs, isa)
        whole = op.run()
        for channels in channels_of_groups(k):
            x = inputs["x"].copy()
            x[1, channels.start], x[3, channels.stop - 1] = math.nan, math.inf
            y = op.run(x=x)
            assert np.isnan(y[[1, 3]]).all()
            np.testing.assert_array_equal(y[[0, 2, 4]], whole[[0, 2, 4]])

    def test_a_row_does_not_depend_on_other_rows_or_threads(self, isa):
        inputs = linear_inputs(np.random.default_rng(6), 150, 64, 48, norm=True)["inputs"]
        whole = run("Linear", inputs, isa)
        np.testing.assert_array_equal(run("Linear", inputs, isa, threads=2), whole)
        op = Op("Linear", inputs, isa)
        for first, last in ((0, 1), (3, 12), (64, 150)):
            part = {name: inputs[name][first:last] for name in ("x", "residual")}
            np.testing.assert_array_equal(op.run(**part), whole[first:last])

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_a_row_that_is_not_finite_gives_nan_and_leaves_others_alone(self, isa, value):
        inputs = linear_inputs(np.random.default_rng(7), 9, 52, 20)["inputs"]
        op = Op("Linear", inputs, isa, activation="gelu")
        whole = op.run()
        for column in (0, 17, 51):
            x = inputs["x"].copy()
            x[4, column] = value
            y = op.run(x=x)
            assert np.isnan(y[4]).all()
            np.testing.assert_array_equal(np.delete(y, 4, 0), np.delete(whole, 4, 0))

    @pytest.mark.parametrize("activation", ops.ACTIVATIONS)
    def test_no_activation_hides_nan(self, isa, activation):
        inputs = linear_inputs(np.random.default_rng(8), 2, 20, 20)["inputs"]
        inputs["x"][1, 3] = math.nan
        y = run("Linear", inputs, isa, activation=activation)
        assert np.isnan(y[1]).all()
        assert np.isfinite(y[0]).all()

    def test_values_of_any_size_are_quantized_by_their_own_range(self, isa):
        mapping = random_linear_map(np.random.default_rng(9), 64, 32)
        rng = np.random.default_rng(10)
        x = np.stack(
            [
                np.zeros(64),
                np.full(64, 3.7),
                rng.uniform(0, 1e-38, 64),
                1e6 + rng.uniform(0, 0.5, 64),
                rng.normal(size=64) * 1e30,
                rng.normal(size=64) * 1e-20,
            ]
        ).astype(np.float32)
        actual = run("Linear", {"x": x, **mapping.inputs()}, isa)
        expected = mapping.apply(x)
        for row in range(len(x)):
            size = np.abs(x[row]).max() + 1
            np.testing.assert_allclose(actual[row], expected[row], rtol=1e-4, atol=1e-5 * size)

    def test_a_range_beyond_floats_is_not_finite(self, isa):
        inputs = linear_inputs(np.random.default_rng(11), 1, 20, 20)["inputs"]
        inputs["x"][0, :2] = 3e38, -3e38
        assert np.isnan(run("Linear", inputs, isa)).all()


class TestFeedForward:
    @pytest.mark.parametrize("isa", ISAS)
    @given(seed=SEED, rows=ROWS, width=ODD, middle=ODD, smooth=st.booleans())
    @examples
    def test_two_products_and_a_normalized_residual(self, isa, seed, rows, width, middle, smooth):
        rng = np.random.default_rng(seed)
        first, second = (
            random_linear_map(rng, width, middle, smooth, smooth),
            random_linear_map(rng, middle, width, smooth),
        )
        x = rng.normal(size=(rows, width)).astype(np.float32)
        inputs = {"x": x, **first.inputs("1"), **first.scaling_inputs("1"), **second.inputs("2")}
        gamma, beta = (rng.normal(size=width).astype(np.float32) for _ in range(2))
        inputs |= {"gamma": gamma, "beta": beta, **second.scaling_inputs("2")}
        actual = run("FeedForward", inputs, isa, activation="relu", epsilon=1e-2)
        assert actual.shape == x.shape
        if rows:
            hidden = np.maximum(first.apply(x), 0)
            # A hidden value that rounds the other way moves one activation by one step.
            y = second.apply(hidden) + x
            expected = ops.layer_norm(y, gamma, beta, 1e-2)
            step = np.abs(hidden).max() / ops.LEVELS * 3 / math.sqrt(middle) / (y.std() + 0.1)
            np.testing.assert_allclose(actual, expected, rtol=1e-2, atol=max(step, 1e-2) * 3)

    @pytest.mark.parametrize("isa", ISAS)
    @given(seed=SEED, rows=ROWS.filter(bool), width=ODD.filter(lambda width: width > 3), middle=ODD)
    @examples
    def test_a_norm_before_leaves_the_residual_as_it_is(self, isa, seed, rows, width, middle):
        rng = np.random.default_rng(seed)
        first, second = random_linear_map(rng, width, middle), random_linear_map(rng, middle, width)
        x = (rng.normal(size=(rows, width)) * 30 + 5).astype(np.float32)
        inputs = {"x": x, **first.inputs("1"), **first.scaling_inputs("1"), **second.inputs("2")}
        inputs |= {"gamma": None, "beta": None, **second.scaling_inputs("2"), **input_norm(rng, width)}
        actual = run("FeedForward", inputs, isa, activation="relu", input_epsilon=1e-3)
        read = ops.layer_norm(x, inputs["input_gamma"], inputs["input_beta"], 1e-3)
        hidden = np.maximum(first.apply(read), 0)
        expected = second.apply(hidden) + x
        step = (np.abs(hidden).max() + 1) * 3 / ops.LEVELS * 3 / math.sqrt(middle)
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=step + 1e-2)

    @pytest.mark.parametrize("before", [False, True])
    def test_rows_and_threads_do_not_change_bits(self, isa, before):
        inputs = feed_forward_inputs(np.random.default_rng(12), 300, 48, 650)
        inputs |= {"smooth2": None, "shift2": None, **input_norm(np.random.default_rng(23), 48)} if before else {}
        x = inputs["x"]
        single, double = (Op("FeedForward", inputs, isa, threads, activation="gelu") for threads in (1, 2))
        whole = single.run()
        for rows in (300, 129, 31, 5, 1):
            np.testing.assert_array_equal(single.run(x=x[:rows]), whole[:rows])
            np.testing.assert_array_equal(double.run(x=x[:rows]), whole[:rows])

    @pytest.mark.parametrize("middle", GROUP_EDGES)
    def test_few_rows_and_many_threads_give_the_same_bits_as_one_thread(self, isa, middle):
        """Threads divide the columns of few rows, and some get none; groups stay whole."""
        inputs = feed_forward_inputs(np.random.default_rng(middle), 40, 20, middle)
        whole = Op("FeedForward", inputs, isa, activation="gelu").run()
        for threads in (2, 7):
            many = Op("FeedForward", inputs, isa, threads, activation="gelu")
            for rows in (40, 17, 1):
                np.testing.assert_array_equal(many.run(x=inputs["x"][:rows]), whole[:rows])

    @pytest.mark.parametrize("threads", [1, 3])
    @pytest.mark.parametrize("rows", [5, 70])
    def test_what_is_not_finite_gives_nan_and_leaves_other_rows_alone(self, isa, rows, threads):
        inputs = feed_forward_inputs(np.random.default_rng(19), rows, 330, 650)
        op = Op("FeedForward", inputs, isa, threads, activation="gelu")
        whole = op.run()
        for channel, value in ((0, math.nan), (191, math.inf), (192, -math.inf), (329, math.nan)):
            x = inputs["x"].copy()
            x[3, channel] = value
            y = op.run(x=x)
            assert np.isnan(y[3]).all()
            np.testing.assert_array_equal(np.delete(y, 3, 0), np.delete(whole, 3, 0))

    @pytest.mark.parametrize("rows", [5, 70])
    @pytest.mark.parametrize("channel", [0, 255, 256, 511, 512, 649])
    def test_one_hidden_channel_that_is_not_finite_is_enough(self, isa, channel, rows):
        inputs = feed_forward_inputs(np.random.default_rng(20), rows, 20, 650)
        inputs["bias1"][channel] = math.nan
        for threads in (1, 3):
            assert np.isnan(run("FeedForward", inputs, isa, threads, activation="relu")).all()


def feed_forward_inputs(rng: np.random.Generator, rows: int, width: int, middle: int) -> dict:
    first, second = random_linear_map(rng, width, middle), random_linear_map(rng, middle, width)
    x = rng.normal(size=(rows, width)).astype(np.float32)
    inputs = {"x": x, **first.inputs("1"), **first.scaling_inputs("1"), **second.inputs("2")}
    return {**inputs, "gamma": np.ones(width, np.float32), "beta": np.zeros(width, np.float32)}


class TestAttention:
    @pytest.mark.parametrize("isa", ISAS)
    @given(
        seed=SEED,
        lengths=st.lists(st.sampled_from([0, 1, 2, 5, 16, 17, 40, 63, 64, 65, 97]), max_size=4),
        heads=st.sampled_from([1, 3]),
        width=st.sampled_from([2, 26, 32, 48, 64, 80, 128]),
        bias=st.sampled_from([0, 1, 5, 100]),
        mask=MASK,
    )
    @examples
    def test_every_text_attends_to_itself_alone(self, isa, seed, lengths, heads, width, bias, mask):
        inputs = attention_inputs(np.random.default_rng(seed), lengths, heads, width, bias)
        scale = 1 / math.sqrt(width)
        expected = ops.attention(inputs["qkv"], lengths, heads, scale, inputs["relative_bias"], isa, mask)
        actual = run("Attention", inputs, isa, heads=heads, mask=mask)
        in_integers = isa in ops.WITH_INTEGERS and any(length >= ops.INTEGERS_FROM for length in lengths)
        np.testing.assert_allclose(actual, expected, atol=1e-3 if in_integers else 3e-5)

    @pytest.mark.parametrize("mask", MASKS)
    @pytest.mark.parametrize("bias", [0, 5])
    def test_queries_of_some_tokens_give_their_rows_the_same_bits(self, isa, bias, mask):
        lengths, hidden = [5, 0, 1, 40, 300], 3 * 26
        inputs = attention_inputs(np.random.default_rng(16), lengths, 3, 26, bias)
        every, query = run("Attention", inputs, isa, heads=3, mask=mask), inputs["qkv"][:, :hidden]
        for rows in ([0], [4, 5, 6], [345], [6, 45, 46, 99, 300], [], range(346)):
            some = {"qkv": inputs["qkv"][:, hidden:], "query": query[list(rows)], "rows": np.array(rows, np.int64)}
            found = run("Attention", {**inputs, **some}, isa, heads=3, mask=mask)
            np.testing.assert_array_equal(found, every[list(rows)])

    @pytest.mark.parametrize("mask", MASKS)
    @pytest.mark.parametrize("tokens", [255, 256, 257, 700, 2049])
    def test_long_texts_in_blocks_of_keys(self, isa, tokens, mask):
        inputs = attention_inputs(np.random.default_rng(tokens), [tokens], 2, 32, bias=130)
        inputs["qkv"][:, :64] *= 4  # some keys stand out, and later ones more than earlier ones
        inputs["qkv"][tokens // 2 :, 64:128] *= 2
        expected = ops.attention(inputs["qkv"], [tokens], 2, 0.25, inputs["relative_bias"], isa, mask)
        actual = run("Attention", inputs, isa, heads=2, scale=0.25, mask=mask)
        assert np.linalg.norm(actual - expected) < 2e-3 * np.linalg.norm(expected)

    def test_rounding_queries_keys_and_values_costs_little(self, isa):
        inputs = attention_inputs(np.random.default_rng(15), [200], 4, 32)
        expected = ops.attention(inputs["qkv"], [200], 4, 1 / math.sqrt(32))
        actual = run("Attention", inputs, isa, heads=4)
        assert np.linalg.norm(actual - expected) < 1e-2 * np.linalg.norm(expected)

    def test_many_small_weights_count(self, isa):
        """One key stands out, and a thousand others together weigh as much."""
        tokens, width = 1001, 32
        qkv = np.zeros((tokens, 3 * width), np.float32)
        qkv[:, :width] = 1
        qkv[0, width : 2 * width] = math.log(tokens - 1) / width
        qkv[0, 2 * width :], qkv[1:, 2 * width :] = 1, -1
        inputs = {"qkv": qkv, "lengths": np.array([tokens]), "relative_bias": None}
        actual = run("Attention", inputs, isa, heads=1, scale=1.0)
        np.testing.assert_allclose(actual, 0, atol=2e-2)

    @pytest.mark.parametrize("mask", MASKS)
    def test_a_text_does_not_depend_on_other_texts_or_threads(self, isa, mask):
        lengths = [70, 3, 128, 0, 64, 300, 12]
        inputs = attention_inputs(np.random.default_rng(13), lengths, 3, 32)
        whole = run("Attention", inputs, isa, heads=3, mask=mask)
        np.testing.assert_array_equal(run("Attention", inputs, isa, threads=2, heads=3, mask=mask), whole)
        op, start = Op("Attention", inputs, isa, heads=3, mask=mask), 0
        for length in lengths:
            rows = slice(start, start + length)
            alone = op.run(qkv=inputs["qkv"][rows], lengths=np.array([length]))
            np.testing.assert_array_equal(alone, whole[rows])
            start += length

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("length", [10, 80, 300])
    @pytest.mark.parametrize("mask", MASKS)
    def test_what_is_not_finite_stays_in_its_text_and_head(self, isa, value, length, mask):
        inputs = attention_inputs(np.random.default_rng(14), [5, length, 7], 2, 20)
        op = Op("Attention", inputs, isa, heads=2, mask=mask)
        whole = op.run()
        for part in range(3):
            qkv = inputs["qkv"].copy()
            qkv[5 + 3, part * 40 + 20 + 4] = value  # of the second head
            y = op.run(qkv=qkv)
            hit = np.zeros(y.shape, bool)
            hit[8 if part == 0 else slice(5, 5 + length), 20:] = True
            assert np.isnan(y[hit]).all()
            np.testing.assert_array_equal(y[~hit], whole[~hit])


class TestEmbedding:
    @pytest.mark.parametrize("isa", ISAS)
    @given(
        seed=SEED,
        lengths=st.lists(st.integers(0, 20), max_size=4),
        width=ODD.filter(lambda width: width > 3),
        position=st.booleans(),
        norm=st.booleans(),
        types=st.booleans(),
        first=st.sampled_from([0, 2]),
    )
    @examples
    def test_word_position_and_type_are_added_and_normalized(
        self, isa, seed, lengths, width, position, norm, types, first
    ):
        rng = np.random.default_rng(seed)
        inputs = embedding_inputs(rng, lengths, width, position, norm, types)
        expected = inputs["word"][inputs["ids"]] * inputs["word_scale"][inputs["ids"], np.newaxis].astype(np.float64)
        if position:
            where = np.concatenate([np.arange(length) + first for length in lengths] + [np.zeros(0, int)]).astype(int)
            expected = expected + inputs["position"][where]
        if types:
            expected = expected + inputs["token_type"][inputs["types"]]
        if norm:
            expected = ops.layer_norm(expected, inputs["gamma"], inputs["beta"], 1e-5)
        actual = run("Embedding", inputs, isa, epsilon=1e-5, first_position=first)
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_one_session_serves_several_threads_at_once(isa):
    rng = np.random.default_rng(17)
    op = Op("Attention", attention_inputs(rng, [60, 90], 4, 32), isa, heads=4)
    batches = [{**attention_inputs(rng, [length, 20], 4, 32)} for length in (30, 80, 150, 300)]
    feeds = [{name: batch[name] for name in ("qkv", "lengths")} for batch in batches]
    alone = [op.run(**feed) for feed in feeds]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda feed: [op.run(**feed) for _ in range(10)], feeds))
    for expected, actual in zip(alone, together, strict=True):
        for result in actual:
            np.testing.assert_array_equal(result, expected)
