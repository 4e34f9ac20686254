"""What the native kernels refuse, and how they say so: at registration, at a session's creation, and in a run."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest

from build import kernels
from build.native.encoder import NATIVE_OPS
from manifest import Target
from runtime.host.cpu import host_target
from tests.support.graphs import kernel_ops as ops
from tests.support.graphs.kernel_ops import Op, graph, options, run
from tests.support.graphs.kernel_programs import library_to_refuse
from tests.support.graphs.op_inputs import (
    attention,
    attention_inputs,
    embedding,
    feed_forward,
    floats,
    linear,
    some_attention,
    typed_embedding,
)
from tests.support.server.interpreter_lock import others_run_during

LIBRARY = ops.host_library()


ACTIVATION_NAMES = "none, gelu, gelu_tanh, relu, silu, tanh or quick_gelu"


def refused(inputs: dict, op: str, sentence: str, **attributes: object) -> None:
    with pytest.raises(Exception, match=re.escape(f'cpu2vec {op} "tested": {sentence}')):
        run(op, inputs, **attributes)


class TestRegistration:
    def test_the_library_reports_what_it_runs(self):
        library = ops.open_library()
        names = ops.available()
        assert library.cpu2vec_kernels_isa().decode() == names[0]
        assert names[-1] == "scalar"
        assert library.cpu2vec_kernels_opset() == NATIVE_OPS.version

    @pytest.mark.parametrize("isa", ["avx10", "AVX2", "x" * 63])
    def test_an_unknown_instruction_set(self, isa):
        with pytest.raises(
            Exception, match=f'cpu2vec.isa must be one of {",".join(ops.available())} on this machine, not "{isa}"'
        ):
            options(isa)

    @pytest.mark.parametrize("threads", ["0", "-1", "two", "1.5", "1025", "9" * 30])
    def test_an_invalid_number_of_threads(self, threads):
        result = ort.SessionOptions()
        result.add_session_config_entry("cpu2vec.threads", threads)
        with pytest.raises(Exception, match=f'cpu2vec.threads must be a number from 1 to 1024, not "{threads}"'):
            result.register_custom_ops_library(str(LIBRARY))

    def test_entries_that_are_too_long(self):
        with pytest.raises(Exception, match="buffer|size"):
            options("x" * 1000)

    def test_another_onnxruntime_is_refused_by_name(self):
        target = host_target()
        assert target is not None
        path = library_to_refuse(target, "9.9.9")
        expected = f"the cpu2vec kernels were built for onnxruntime 9.9.9 and do not run in {ort.__version__}"
        with pytest.raises(Exception, match=re.escape(expected)):
            options(path=path)

    def test_the_pinned_onnxruntime_is_the_runtimes(self):
        assert kernels.pinned_onnxruntime() == ort.__version__

    def test_sessions_with_different_settings_coexist(self):
        inputs = linear()
        sessions = [Op("Linear", inputs, isa, threads) for isa in ops.available() for threads in (1, 2)]
        results = [session.run() for session in sessions]
        for result in results:
            np.testing.assert_allclose(result, results[0], atol=0.2)


class TestLinear:
    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            ({"bias": floats(24, 1)}, "bias must have one element per output channel"),
            ({"bias": floats(0)}, "bias must have one element per output channel"),
            ({"scale": floats(24)}, "scale must have the shape [1, 24], a row for each group of input channels"),
            ({"scale": floats(2, 24)}, "scale must have the shape [1, 24], a row for each group of input channels"),
            (
                {"weight": np.zeros((2, 4, 16, 4), np.int8)},
                "the input of weight must have 13 to 16 channels, not 20",
            ),
            ({"weight": np.zeros((3, 5, 16, 4), np.int8)}, "weight must have the shape [2, input channels / 4, 16, 4]"),
            ({"weight": np.zeros((2, 5, 4, 16), np.int8)}, "weight must have the shape [2, input channels / 4, 16, 4]"),
            ({"weight": np.zeros((2, 5, 64), np.int8)}, "weight must have the shape [2, input channels / 4, 16, 4]"),
            ({"weight": np.zeros((2, 0, 16, 4), np.int8)}, "weight must have the shape [2, input channels / 4, 16, 4]"),
            (
                {"sums": np.zeros((1, 25), np.int32)},
                "sums must have the shape [1, 24], a row for each group of input channels",
            ),
            ({"bias": floats(23)}, "scale must have the shape [1, 23], a row for each group of input channels"),
            ({"smooth": floats(16)}, "smooth and shift must have one element per input channel of the weight"),
            ({"shift": floats(20, 1)}, "smooth and shift must have one element per input channel of the weight"),
            ({"smooth": floats(19)}, "smooth must have the shape [20]"),
            ({"x": floats(3, 21)}, "the input of weight must have 17 to 20 channels, not 21"),
            ({"x": floats(20)}, "x must have the shape [tokens, channels]"),
            ({"x": floats(1, 3, 20)}, "x must have the shape [tokens, channels]"),
            ({"x": floats(1, 1, 1, 1, 20)}, "x must have at most 4 dimensions, not 5"),
            ({"residual": floats(3, 23)}, "residual must have the shape of the output, [3, 24]"),
            ({"residual": floats(2, 24)}, "residual must have the shape of the output, [3, 24]"),
            ({"x": floats(3, 0)}, "the input of weight must have 17 to 20 channels, not 0"),
            ({"gamma": floats(24)}, "gamma and beta must both be given"),
            ({"gamma": floats(24), "beta": floats(23)}, "beta must have the shape [24]"),
            ({"input_beta": floats(20)}, "input_gamma and input_beta must both be given"),
            ({"input_gamma": floats(20), "input_beta": floats(19)}, "input_beta must have the shape [20]"),
            ({"input_gamma": floats(24), "input_beta": floats(24)}, "input_gamma must have the shape [20]"),
        ],
    )
    def test_shapes(self, changed, sentence):
        refused(linear(**changed), "Linear", sentence)

    @pytest.mark.parametrize(("k", "groups"), [(316, 1), (317, 1), (320, 1), (321, 2), (640, 2), (641, 3), (1281, 5)])
    @pytest.mark.parametrize("name", ["scale", "sums"])
    def test_tables_without_a_row_for_each_group(self, k, groups, name):
        valid = linear(k)
        assert len(valid[name]) == groups
        assert run("Linear", valid).shape == (3, 24)
        for wrong in (valid[name][:-1], np.concatenate([valid[name], valid[name][:1]]), valid[name].T.copy()):
            sentence = f"{name} must have the shape [{groups}, 24], a row for each group of input channels"
            refused({**valid, name: wrong}, "Linear", sentence)

    def test_more_rows_than_one_call_may_have(self):
        rows = np.zeros((2**24 + 1, 1), np.float32)
        refused(linear(1, 1, x=rows), "Linear", "a call must have at most 16777216 tokens, not 16777217")

    @pytest.mark.parametrize("activation", ["GELU", "swish", "", "g" * 40])
    def test_an_unknown_activation(self, activation):
        named = f', not "{activation}"' if len(activation) < 32 else ""
        sentence = f'cpu2vec Linear "tested": activation must be {ACTIVATION_NAMES}{named}'
        with pytest.raises(Exception, match=rf"{re.escape(sentence)}$"):
            run("Linear", linear(), activation=activation)

    def test_an_input_of_another_type(self):
        with pytest.raises(Exception, match="float64|double"):
            run("Linear", linear(x=np.ones((3, 20))))


TABLES = [
    ("Embedding", embedding(), {}, ("word", "word_scale", "position", "gamma", "beta")),
    ("Embedding", typed_embedding(), {}, ("token_type",)),
    (
        "Linear",
        linear(smooth=floats(20), shift=floats(20), gamma=floats(24), beta=floats(24)),
        {},
        ("weight", "scale", "sums", "bias", "smooth", "shift", "gamma", "beta"),
    ),
    (
        "FeedForward",
        feed_forward(smooth1=floats(20), shift1=floats(20), smooth2=floats(40), shift2=floats(40)),
        {},
        ("weight1", "sums1", "smooth1", "shift1", "scale2", "bias2", "smooth2", "shift2", "gamma", "beta"),
    ),
    ("Attention", attention(relative_bias=floats(2, 5)), {"heads": 2}, ("relative_bias",)),
]


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "fed"),
    [(op, inputs, attributes, name) for op, inputs, attributes, names in TABLES for name in names],
)
def test_weights_and_tables_that_are_fed(op, inputs, attributes, fed):
    """This includes optional ones, which must not pass for left out."""
    initializers = tuple(name for name in inputs if name not in (*ops.FED, fed))
    model = graph(op, inputs, initializers, **attributes)
    with pytest.raises(Exception, match=f'cpu2vec {op} "tested": {fed} must be an initializer'):
        ort.InferenceSession(model.SerializeToString(), options(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "name"),
    [
        (op, inputs, attributes, name)
        for op, inputs, attributes, _ in TABLES
        for name in inputs
        if name.startswith(("ids", "lengths", "x", "qkv", "word", "weight", "scale", "sums", "bias"))
    ],
)
def test_a_required_input_that_is_left_out(op, inputs, attributes, name):
    with pytest.raises(Exception, match=r"Node ?\(tested\)"):
        run(op, {**inputs, name: None}, **attributes)


class TestFeedForward:
    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            ({"x": floats(3, 24)}, "x must have the shape [tokens, 20]"),
            (
                {"weight2": np.zeros((2, 9, 16, 4), np.int8)},
                "the input of weight2 must have 33 to 36 channels, not 40",
            ),
            ({"bias2": floats(21)}, "scale2 must have the shape [1, 21], a row for each group of input channels"),
            ({"smooth2": floats(39)}, "smooth2 must have the shape [40]"),
            ({"scale2": floats(2, 20)}, "scale2 must have the shape [1, 20], a row for each group of input channels"),
        ],
    )
    def test_shapes(self, changed, sentence):
        refused(feed_forward(**changed), "FeedForward", sentence)

    def test_a_table_without_a_row_for_each_group_of_hidden_channels(self):
        valid = feed_forward(middle=650)
        assert run("FeedForward", valid).shape == (3, 20)
        sentence = "sums2 must have the shape [3, 20], a row for each group of input channels"
        refused({**valid, "sums2": valid["sums2"][:2]}, "FeedForward", sentence)


TOO_MANY = "lengths must add up to the number of tokens, 7, not to 8 or more"
TOO_LONG = "lengths[0] must be 0 to 1048576 tokens, not"
NO_WORD = "must have an id of the word table, 0 to 49, not"
NO_TYPE = "must have a type of the table of types, 0 to 2, not"


class TestAttention:
    @pytest.mark.parametrize(
        ("changed", "attributes", "sentence"),
        [
            ({}, {"heads": 0}, "heads must be 1 to 1024, not 0"),
            ({}, {}, "heads must be 1 to 1024, not 0"),
            ({}, {"heads": 2, "mask": "full"}, 'mask must be none or causal, not "full"'),
            ({}, {"heads": 2, "mask": "m" * 40}, "mask must be none or causal"),
            ({}, {"heads": 5}, "qkv must have the shape [tokens, 3 x 5 heads x width]"),
            ({"qkv": floats(7, 0)}, {"heads": 2}, "qkv must have the shape [tokens, 3 x 2 heads x width]"),
            ({"qkv": floats(48)}, {"heads": 2}, "qkv must have the shape [tokens, 3 x 2 heads x width]"),
            ({"relative_bias": floats(3, 5)}, {"heads": 2}, "relative_bias must have the shape [2, an odd number"),
            ({"relative_bias": floats(2, 4)}, {"heads": 2}, "relative_bias must have the shape [2, an odd number"),
            ({"lengths": np.array([3, 3])}, {"heads": 2}, "lengths must add up to the number of tokens, 7, not to 6"),
            ({"lengths": np.array([3, 5])}, {"heads": 2}, TOO_MANY),
            ({"lengths": np.array([8, -1])}, {"heads": 2}, TOO_MANY),
            ({"lengths": np.array([-1, 8])}, {"heads": 2}, f"{TOO_LONG} -1"),
            ({"lengths": np.array([2**62, 7])}, {"heads": 2}, f"{TOO_LONG} 4611686018427387904"),
            ({"lengths": np.zeros((1, 2), np.int64)}, {"heads": 2}, "lengths must be one-dimensional"),
            ({"query": floats(2, 16)}, {"heads": 2}, "query and rows must be given together"),
            ({"query": None, "rows": np.array([1])}, {"heads": 2}, "query and rows must be given together"),
            (some_attention(3, 5), {"heads": 5}, "qkv must have the shape [tokens, 2 x 5 heads x width]"),
            (some_attention(3, 5, query=floats(2, 15)), {"heads": 2}, "query must have the shape [rows, 16]"),
            (some_attention(3, query=floats(2, 16)), {"heads": 2}, "rows must have one element per query, [2]"),
            (some_attention(3, 7), {"heads": 2}, "rows[1] must be 4 to 6, because rows ascend, not 7"),
            (some_attention(3, 3), {"heads": 2}, "rows[1] must be 4 to 6, because rows ascend, not 3"),
            (some_attention(-1, 3), {"heads": 2}, "rows[0] must be 0 to 6, because rows ascend, not -1"),
        ],
    )
    def test_shapes_and_lengths(self, changed, attributes, sentence):
        refused(attention(**changed), "Attention", sentence, **attributes)


class TestEmbedding:
    @pytest.mark.parametrize(
        ("changed", "attributes", "sentence"),
        [
            ({"ids": np.array([0, 1, 2, 3, 50, 5, 6])}, {}, f"token 1 of text 1 {NO_WORD} 50"),
            ({"ids": np.array([0, -1, 2, 3, 4, 5, 6])}, {}, f"token 1 of text 0 {NO_WORD} -1"),
            ({"ids": np.array([2**63 - 1] * 7)}, {}, f"token 0 of text 0 {NO_WORD} 9223372036854775807"),
            ({"ids": np.zeros((7, 1), np.int64)}, {}, "ids and lengths must be one-dimensional"),
            ({"lengths": np.array([3, 3])}, {}, "lengths must add up to the number of tokens, 7, not to 6"),
            ({}, {"first_position": 21}, "text 1 must have at most 3 tokens, one per position, not 4: truncate it"),
            ({}, {"first_position": 25}, "first_position must be a row of the position table, not 25"),
            ({}, {"first_position": -1}, "first_position must be a row of the position table, not -1"),
            ({"word": np.zeros((50, 16, 1), np.int8)}, {}, "word must have the shape [words, width]"),
            ({"word_scale": floats(49)}, {}, "word_scale must have the shape [50]"),
            ({"position": floats(24, 15)}, {}, "position must have the shape [positions, 16]"),
            ({"beta": floats(15)}, {}, "beta must have the shape [16]"),
        ],
    )
    def test_ids_lengths_and_tables(self, changed, attributes, sentence):
        refused(embedding(**changed), "Embedding", sentence, **attributes)

    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            ({"types": np.array([0, 1, 2, 3, 0, 0, 0])}, f"token 0 of text 1 {NO_TYPE} 3"),
            ({"types": np.array([0, -1, 2, 0, 0, 0, 0])}, f"token 1 of text 0 {NO_TYPE} -1"),
            ({"types": np.zeros(6, np.int64)}, "types must have the shape of ids, [7]"),
            ({"types": np.zeros((7, 1), np.int64)}, "types must have the shape of ids, [7]"),
            ({"types": None}, "types and token_type must be given together"),
            ({"token_type": None}, "types and token_type must be given together"),
            ({"token_type": floats(3, 15)}, "token_type must have the shape [types, 16]"),
        ],
    )
    def test_types_and_their_table(self, changed, sentence):
        refused(typed_embedding(**changed), "Embedding", sentence)

    def test_a_call_without_texts(self):
        nothing = np.zeros(0, np.int64)
        assert run("Embedding", embedding(ids=nothing, lengths=nothing)).shape == (0, 16)
        assert run("Embedding", embedding(ids=nothing, lengths=np.zeros(3, np.int64))).shape == (0, 16)

    def test_a_session_works_after_an_error(self):
        op = Op("Embedding", embedding())
        before = op.run()
        with pytest.raises(Exception, match=f"{NO_WORD} 99"):
            op.run(ids=np.full(7, 99))
        np.testing.assert_array_equal(op.run(), before)


WITH_LITTLE_MEMORY = """
import ctypes, resource, sys
from tests.support.graphs.kernel_ops import Op
from tests.support.graphs.op_inputs import floats, linear
op = Op("Linear", linear(2**20, 1, x=floats(1, 2**20)), threads=int(sys.argv[1]))
ctypes.CDLL(None).malloc_trim(0)
pages = int(open("/proc/self/statm").read().split()[0])
limit = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**24, limit[1]))
try:
    op.run()
except Exception as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, limit)
print(op.run().shape)
"""
"""Activations take 32 rows of a megabyte, and the process may allocate only half of that."""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_lack_of_memory_is_an_error_and_the_next_run_works(threads):
    """Runs in a process of its own, which has no memory left that earlier tests freed."""
    command = [sys.executable, "-c", WITH_LITTLE_MEMORY, threads]
    result = subprocess.run(command, cwd=kernels.ROOT, capture_output=True, text=True, check=True)
    message, shape = result.stdout.splitlines()
    assert message.endswith('cpu2vec Linear "tested": there is not enough memory for this op')
    assert shape == "(1, 1)"


def test_other_python_threads_run_while_an_op_does():
    """The ops do not use Python, and onnxruntime's binding releases the GIL."""
    op = Op("Attention", attention_inputs(np.random.default_rng(5), [500], 4, 64), isa="scalar", heads=4)
    assert others_run_during(op.run)


def test_the_library_needs_nothing_but_the_c_library():
    needed = subprocess.run(["ldd", LIBRARY], capture_output=True, text=True, check=True).stdout
    names = {line.split()[0].split("/")[-1] for line in needed.splitlines()}
    assert not {name for name in names if not re.match(r"(linux-vdso|ld-linux|libc|libm|libpthread)\b", name)}


@pytest.mark.parametrize("target", list(Target))
def test_the_same_sources_give_the_same_bytes(target, tmp_path, monkeypatch):
    first = kernels.build(target).read_bytes()
    monkeypatch.setattr(kernels, "LIBRARIES", tmp_path / "elsewhere")
    assert kernels.build(target).read_bytes() == first
    assert b"/tmp" not in first


def test_the_driver_builds_for_an_architecture():
    command = [sys.executable, "-m", "build.kernels", "--arch", "arm64"]
    result = subprocess.run(command, cwd=kernels.ROOT, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"kernels/lib/libcpu2vec-arm64.so  \d+ bytes\n", result.stdout)


def test_nan_and_infinity_are_results_not_errors():
    assert np.isnan(run("Linear", linear(x=np.full((1, 20), math.inf, np.float32)))).all()
