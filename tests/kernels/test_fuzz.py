"""Random shapes and values for every op: a run returns an output of the right shape or an error, and never crashes."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from tests.support.graphs import kernel_ops as ops
from tests.support.graphs.encoder_inputs import encoder
from tests.support.graphs.op_inputs import attention, embedding, feed_forward, linear, norm_before, some_attention

CASES = 300
CORRECT = {
    "Embedding": (embedding, {}),
    "Linear": (linear, {"activation": "gelu"}),
    "Linear in groups": (lambda: linear(330), {"activation": "gelu"}),
    "Linear with a norm before": (lambda: linear(330, **norm_before(330)), {"activation": "quick_gelu"}),
    "FeedForward": (feed_forward, {"activation": "silu"}),
    "FeedForward in groups": (lambda: feed_forward(330), {"activation": "silu"}),
    "FeedForward with a norm before": (lambda: feed_forward(**norm_before(20)), {"activation": "quick_gelu"}),
    "Encoder": (encoder, {"heads": 2, "activation": "gelu"}),
    "Encoder of some tokens": (lambda: encoder(some=[1, 5], smooth=True, types=True), {"heads": 2}),
    "Encoder with norms before": (lambda: encoder(before=True, bias=3), {"heads": 2, "mask": "causal"}),
    "Encoder that pools": (lambda: encoder(pooled=[(0, 3, 1), (1, 4, 0)]), {"heads": 2}),
    "Encoder that pools some tokens": (lambda: encoder(some=[0, 3], pooled=[(0, 1, 1), (0, 9, 0)]), {"heads": 2}),
    "Attention": (attention, {"heads": 2}),
    "Attention of some tokens": (some_attention, {"heads": 2}),
    "Attention with a mask": (some_attention, {"heads": 2, "mask": "causal"}),
}
WILD = np.array([0, 1, -1, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, 2**24], np.float32)
WILD_INTEGERS = np.array([0, 1, -1, 2, 49, 50, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63)], np.int64)


def mutated(rng: np.random.Generator, value: np.ndarray) -> np.ndarray:
    """Change the shape, the numbers, or both."""
    shape = list(value.shape)
    if rng.random() < 0.4 and shape:
        shape[rng.integers(len(shape))] = int(rng.choice([0, 1, 2, 3, 5, 7, 16, 17, 33]))
    if rng.random() < 0.1:
        shape.insert(0, 1)
    if rng.random() < 0.1 and shape:
        shape.pop()
    size = int(np.prod(shape))
    flat = np.resize(value.ravel() if value.size else np.zeros(1, value.dtype), size)
    if rng.random() < 0.3 and size and value.dtype != np.int8:
        wild = WILD if value.dtype == np.float32 else WILD_INTEGERS
        where = rng.integers(0, size, max(1, size // 4))
        flat[where] = rng.choice(wild, len(where)).astype(value.dtype)
    return flat.reshape(shape)


def rows_of(given: dict[str, np.ndarray]) -> int:
    """How many rows the output has."""
    if len(given.get("pooled", ())):
        return len(given["lengths"])
    return len(given.get("rows", next(iter(given.values()))))


@pytest.mark.parametrize("isa", ops.available())
@pytest.mark.parametrize("case", CORRECT)
def test_no_input_crashes_the_process(case, isa):
    rng = np.random.default_rng(16)
    op, (make, attributes) = case.split()[0], CORRECT[case]
    correct = make()
    sentences: list[str] = []
    for _ in range(CASES):
        inputs = dict(correct)
        for name in rng.choice(list(inputs), rng.integers(1, 3)):
            if inputs[name] is not None:
                inputs[name] = mutated(rng, inputs[name])
        given = {name: value for name, value in inputs.items() if name in ops.FED and value is not None}
        constants = tuple(name for name in inputs if name not in ops.FED)
        model = ops.graph(op, inputs, constants, **attributes)
        options = ops.options(isa, threads=int(rng.integers(1, 3)))
        try:
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            y = session.run(None, given)[0]
        except Exception as error:
            sentences.append(str(error))
        else:
            assert y.dtype == np.float32
            assert y.ndim == 2
            assert len(y) == rows_of(given)
    assert all(f'cpu2vec {op} "tested": ' in sentence for sentence in sentences), sentences
    assert CASES / 20 < len(sentences) < CASES * 19 / 20
