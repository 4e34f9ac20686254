"""Valid inputs of the op of a whole encoder, and what the other ops compute of the same inputs, one after another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.graphs.kernel_ops import Array, random_linear_map, run
from tests.support.graphs.op_inputs import Inputs, embedding_inputs

TABLES = ("ids", "lengths", "word", "word_scale", "position", "gamma", "beta", "types", "token_type")
EMPTY: NDArray[np.float32] = np.zeros(0, np.float32)
"""A layer's input that is left out."""

WEIGHT = ("weight", "scale", "sums", "bias", "smooth", "shift")
BEFORE, AFTER = ("input_gamma", "input_beta"), ("gamma", "beta")
FIRST, SECOND = (tuple(f"{name}{number}" for name in WEIGHT) for number in (1, 2))
FEED_FORWARD = (*FIRST, *SECOND[:4], "layer_gamma", "layer_beta", *SECOND[4:], *BEFORE)
"""The inputs of a layer's feed-forward block, in order."""


def encoder(
    seed: int = 7,
    texts: tuple[int, ...] = (3, 4),
    *,
    width: int = 16,
    heads: int = 2,
    middle: int = 40,
    layers: int = 2,
    before: bool = False,
    smooth: bool = False,
    bias: int = 0,
    types: bool = False,
    some: list[int] | None = None,
    pooled: list[tuple[int, int, int]] | None = None,
    **changed: Any,
) -> Inputs:
    """Return the inputs by name and in order; those of layers begin with the layer's index.

    ``texts``: how many tokens they have. ``before``: whether norms come before products. ``bias``: how far the relative
    bias reaches; 0 leaves it out.
    ``some``: the tokens that the last layer computes; None: all. ``pooled``: of each text, the tokens whose mean is
    its vector, and whether that is normalized; None: tokens have their embeddings.
    """
    rng = np.random.default_rng(seed)
    tables = embedding_inputs(rng, list(texts), width, norm=not before, types=types)
    tables = {"types": None, "token_type": None, **tables}
    inputs: Inputs = {name: tables[name] for name in TABLES}
    inputs["relative_bias"] = rng.normal(size=(heads, 2 * bias - 1)).astype(np.float32) if bias else None
    inputs["rows"] = None if some is None else np.array(some, np.int64)
    inputs["pooled"] = None if pooled is None else np.array(pooled, np.int64)
    for index in range(layers):
        is_last = index == layers - 1
        layer = _layer(rng, width, middle, smooth, some is not None and is_last)
        layer |= _norms(rng, width, before, is_last)
        inputs |= {f"{index}.{name}": EMPTY if value is None else value for name, value in layer.items()}
    assert not set(changed) - set(inputs)
    return {**inputs, **changed}


def step_by_step(
    inputs: Inputs, isa: str, *, heads: int, activation: str, mask: str = "none", **epsilons: Any
) -> Array:
    """Compute the same with a node for each step, on one thread."""
    layers = 1 + max(int(name.split(".")[0]) for name in inputs if "." in name)
    tables = {name: inputs[name] for name in TABLES}
    state = run("Embedding", tables, isa, epsilon=epsilons["epsilon"])
    rows = inputs["rows"]
    for index in range(layers):
        given = _of_layer(inputs, index)
        joined = _linear(state, given, "joined", isa, **epsilons)
        some: Inputs = {}
        if given.get("query_weight") is not None and rows is not None:
            state = state[rows]
            some = {"query": _linear(state, given, "query", isa, **epsilons), "rows": rows}
        attention = {"qkv": joined, "lengths": inputs["lengths"], "relative_bias": inputs["relative_bias"], **some}
        context = run("Attention", attention, isa, heads=heads, mask=mask)
        state = _linear(context, given, "output", isa, residual=state, **epsilons)
        block: Inputs = {"x": state, **{name: given.get(name) for name in FEED_FORWARD}}
        state = run("FeedForward", block, isa, activation=activation, **epsilons)
    return state


def _linear(x: Array, given: Inputs, name: str, isa: str, residual: Array | None = None, **epsilons: Any) -> Array:
    weight: Inputs = {part: given.get(f"{name}_{part}") for part in WEIGHT}
    norms: Inputs = {part: given.get(f"{name}_{part}") for part in (*AFTER, *BEFORE)}
    return run("Linear", {"x": x, **weight, "residual": residual, **norms}, isa, **epsilons)


def _of_layer(inputs: Inputs, index: int) -> Inputs:
    prefix = f"{index}."
    of_layer = {name.removeprefix(prefix): value for name, value in inputs.items() if name.startswith(prefix)}
    return {name: value for name, value in of_layer.items() if value is not EMPTY}


def _layer(rng: np.random.Generator, width: int, middle: int, smooth: bool, selects: bool) -> Inputs:
    """The inputs of a layer in order, without norms."""
    maps = {
        "joined": random_linear_map(rng, width, (2 if selects else 3) * width, smooth),
        "query": random_linear_map(rng, width, width, smooth) if selects else None,
        "output": random_linear_map(rng, width, width, smooth),
    }
    inputs: Inputs = {}
    for name, mapping in maps.items():
        given = {} if mapping is None else {**mapping.inputs(), **mapping.scaling_inputs()}
        norm = AFTER if name == "output" else BEFORE
        inputs |= {f"{name}_{part}": given.get(part) for part in (*WEIGHT, *norm)}
    first, second = random_linear_map(rng, width, middle, smooth), random_linear_map(rng, middle, width, smooth)
    given = {**first.inputs("1"), **first.scaling_inputs("1"), **second.inputs("2"), **second.scaling_inputs("2")}
    return inputs | {name: given.get(name) for name in FEED_FORWARD}


def _norms(rng: np.random.Generator, width: int, before: bool, is_last: bool) -> Inputs:
    prefixes = ["joined_input_", "query_input_", "input_"] if before else ["output_", "layer_"]
    if before and is_last:
        prefixes.append("layer_")
    vectors = [f"{prefix}{part}" for prefix in prefixes for part in AFTER]
    return {name: rng.normal(1, 0.1, width).astype(np.float32) for name in vectors}
