"""Which activations are multiplied by which weights, and where channels can be scaled or split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from build.graph.index import GraphIndex
from build.quantization.linear_inputs import LinearInput, Norm, Producers, find_linear_inputs
from tests.support.graphs.tiny_graphs import OUTPUT, Step, a_model, constant, gelu

WIDTH, WIDE = 4, 6
SHAPES = {
    "query": (WIDTH, WIDTH),
    "key": (WIDTH, WIDTH),
    "up": (WIDTH, WIDE),
    "gate": (WIDTH, WIDE),
    "down": (WIDE, WIDTH),
    "square": (WIDE, WIDE),
    "bias": (WIDTH,),
    "scale": (WIDTH,),
    "wide_bias": (WIDE,),
    "wide_scale": (WIDE,),
    "row": (1, 1, WIDE),
    "half": (1,),
    "cube": (2, WIDTH, WIDTH),
    "empty": (WIDTH, 0),
}


def inputs_of(model: ModelProto) -> list[LinearInput]:
    return find_linear_inputs(GraphIndex(model, Path()))


def found(
    *steps: Step, outputs: tuple[str, ...] = (OUTPUT,), inputs: tuple[str, ...] = ("x",), **more: np.ndarray
) -> dict[str, LinearInput]:
    """Return linear inputs by name; the graph has those of the weights above that its nodes read."""
    read = {name for step in steps for name in step[1]}
    weights = {name: np.ones(shape) for name, shape in SHAPES.items() if name in read} | more
    return {entry.name: entry for entry in inputs_of(a_model(steps, weights, inputs, outputs))}


def norm(read: str, made: str, *vectors: str) -> Step:
    return ("LayerNormalization", [read, *(vectors or ("scale", "bias"))], made)


def test_matrices_are_listed_in_order_by_the_activation_that_multiplies_them():
    inputs = found(
        ("MatMul", ["x", "query"], "q"),
        ("MatMul", ["x", "key"], "k"),
        ("Softmax", ["q"], "s"),
        ("MatMul", ["s", "up"], OUTPUT),
    )
    assert list(inputs) == ["x", "s"]
    assert inputs["x"] == LinearInput("x", ("query", "key"), WIDTH, None, None)
    assert inputs["s"] == LinearInput("s", ("up",), WIDTH, None, None)


def test_a_matrix_that_two_nodes_multiply_by_the_same_activation_is_listed_once():
    inputs = found(("MatMul", ["x", "query"], "q"), ("MatMul", ["x", "query"], "k"), ("Add", ["q", "k"], OUTPUT))
    assert inputs["x"].matrices == ("query",)


@pytest.mark.parametrize(
    "step",
    [
        ("MatMul", ["x", "x"], OUTPUT),
        ("MatMul", ["query", "x"], OUTPUT),
        ("MatMul", ["x", "bias"], OUTPUT),
        ("MatMul", ["x", "cube"], OUTPUT),
        ("MatMul", ["x", "empty"], OUTPUT),
        ("Gemm", ["x", "query"], OUTPUT),
        ("MatMul", ["query", "key"], OUTPUT),
    ],
    ids=["activations", "matrix first", "vector", "three dimensions", "no column", "Gemm", "weights"],
)
def test_other_products_are_not_listed(step: Step):
    assert not found(step)


def test_weights_that_are_not_fp32_are_not_listed():
    model = a_model([("MatMul", ["x", "query"], OUTPUT)], {"query": np.ones((WIDTH, WIDTH))})
    model.graph.initializer[0].data_type = TensorProto.FLOAT16
    assert not inputs_of(model)


def test_two_activations_that_share_a_matrix_are_left_out():
    inputs = found(
        ("MatMul", ["x", "query"], "q"),
        ("MatMul", ["x", "key"], "k"),
        ("Softmax", ["k"], "s"),
        ("MatMul", ["s", "query"], "again"),
        ("MatMul", ["again", "up"], OUTPUT),
    )
    assert list(inputs) == ["again"]


def test_a_matrix_that_is_also_multiplied_from_the_left_is_left_out():
    assert not found(("MatMul", ["x", "query"], "q"), ("MatMul", ["query", "q"], OUTPUT))


def test_a_table_that_is_also_a_matrix_is_listed():
    """Its rows are looked up in the copy that stays in fp32."""
    inputs = found(
        ("Gather", ["query", "input_ids"], "e"),
        norm("e", "n"),
        ("MatMul", ["n", "query"], OUTPUT),
        inputs=("input_ids",),
    )
    assert inputs["n"].matrices == ("query",)
    assert inputs["n"].norm == Norm("n", "scale", "bias")


class TestNorm:
    """Where the node that computes an activation can absorb scales."""

    def test_before_products_alone(self):
        inputs = found(norm("x", "n"), ("MatMul", ["n", "query"], "q"), ("MatMul", ["n", "key"], OUTPUT))
        assert inputs["n"].norm == Norm("n", "scale", "bias")

    def test_without_a_bias(self):
        assert found(norm("x", "n", "scale"), ("MatMul", ["n", "query"], OUTPUT))["n"].norm == Norm("n", "scale", None)

    def test_with_the_bias_of_zeros_that_the_exporter_makes(self):
        inputs = found(
            constant(np.zeros(WIDTH), "zeros"), norm("x", "n", "scale", "zeros"), ("MatMul", ["n", "query"], OUTPUT)
        )
        assert inputs["n"].norm == Norm("n", "scale", "zeros")

    def test_whose_shape_is_read_as_well(self):
        inputs = found(norm("x", "n"), ("Shape", ["n"], "s"), ("MatMul", ["n", "query"], OUTPUT), outputs=(OUTPUT, "s"))
        assert inputs["n"].norm is not None

    def test_not_if_a_residual_reads_it(self):
        """As in BERT, where the norm comes after the sum."""
        inputs = found(norm("x", "n"), ("MatMul", ["n", "query"], "q"), ("Add", ["q", "n"], OUTPUT))
        assert inputs["n"].norm is None

    def test_not_if_it_is_an_output_of_the_graph(self):
        assert found(norm("x", "n"), ("MatMul", ["n", "query"], OUTPUT), outputs=(OUTPUT, "n"))["n"].norm is None

    @pytest.mark.parametrize(
        "step",
        [
            ("MatMul", ["n", "cube"], "other"),
            ("MatMul", ["n", "n"], "other"),
            ("Gemm", ["n", "key"], "other"),
            ("MatMul", ["n", "bias"], "other"),
        ],
        ids=["three dimensions", "itself", "Gemm", "vector"],
    )
    def test_not_if_something_else_multiplies_it(self, step: Step):
        assert found(norm("x", "n"), ("MatMul", ["n", "query"], OUTPUT), step)["n"].norm is None

    def test_not_if_a_branch_reads_it(self):
        inside = helper.make_graph(
            [helper.make_node("Identity", ["n"], ["branch"])],
            "branch",
            [],
            [helper.make_tensor_value_info("branch", TensorProto.FLOAT, None)],
        )
        choice: Step = ("If", ["condition"], "chosen", {"then_branch": inside, "else_branch": inside})
        steps = [norm("x", "n"), ("MatMul", ["n", "query"], "q"), choice, ("Add", ["q", "chosen"], OUTPUT)]
        assert found(*steps, inputs=("x", "condition"))["n"].norm is None

    @pytest.mark.parametrize("order", [("a", "scale"), ("scale", "a")])
    def test_the_product_that_an_rmsnorm_ends_with(self, order: tuple[str, str]):
        inputs = found(("Softmax", ["x"], "a"), ("Mul", list(order), "n"), ("MatMul", ["n", "query"], OUTPUT))
        assert inputs["n"].norm == Norm("n", "scale", None)

    @pytest.mark.parametrize("factor", ["half", "row", "a", "y"])
    def test_not_a_product_with_anything_but_a_vector(self, factor: str):
        steps: list[Step] = [
            ("Softmax", ["x"], "a"),
            ("Mul", ["a", factor], "n"),
            ("MatMul", ["n", "down"], OUTPUT),
        ]
        assert found(*steps, inputs=("x", "y"))["n"].norm is None

    @pytest.mark.parametrize("op", ["Add", "Div", "Sub"])
    def test_not_another_op_with_a_vector(self, op: str):
        assert found((op, ["x", "scale"], "n"), ("MatMul", ["n", "query"], OUTPUT))["n"].norm is None

    def test_not_over_several_axes(self):
        """Its vectors are not vectors of channels."""
        square = np.ones((WIDTH, WIDTH))
        inputs = found(
            ("LayerNormalization", ["x", "gain", "shift"], "n", {"axis": -2}),
            ("MatMul", ["n", "query"], OUTPUT),
            gain=square,
            shift=square,
        )
        assert inputs["n"].norm is None

    def test_not_if_its_mean_is_an_output(self):
        model = a_model([norm("x", "n"), ("MatMul", ["n", "query"], OUTPUT)], weights_of("scale", "bias", "query"))
        model.graph.node[0].output.append("mean")
        assert inputs_of(model)[0].norm is None

    def test_not_an_input_of_the_graph(self):
        assert found(("MatMul", ["x", "query"], OUTPUT))["x"].norm is None


def weights_of(*names: str) -> dict[str, Any]:
    return {name: np.ones(SHAPES[name]) for name in names}


def feed_forward(*between: Step, last: str) -> dict[str, LinearInput]:
    """Return the linear inputs of a feed-forward block with the nodes ``between`` from "u" to ``last``."""
    return found(("MatMul", ["x", "up"], "u"), *between, ("MatMul", [last, "down"], OUTPUT))


class TestProducers:
    """Where channels of an activation can be split."""

    def test_the_matrix_before(self):
        assert feed_forward(last="u")["u"].producers == Producers(("up",), ())

    @pytest.mark.parametrize("op", ["Relu", "Gelu", "Tanh", "Sigmoid", "Softplus", "Exp", "Neg", "Sqrt", "Erf"])
    def test_after_a_function_of_each_channel(self, op: str):
        assert feed_forward((op, ["u"], "a"), last="a")["a"].producers == Producers(("up",), ())

    def test_after_a_gelu_of_several_nodes(self):
        steps: list[Step] = [("Add", ["wide_bias", "u"], "a"), *gelu("a", "h", "half")]
        assert feed_forward(*steps, last="h")["h"].producers == Producers(("up",), ("wide_bias",))

    def test_after_a_cast(self):
        cast: Step = ("Cast", ["u"], "c", {"to": TensorProto.FLOAT})
        assert feed_forward(cast, last="c")["c"].producers == Producers(("up",), ())

    def test_of_a_gate(self):
        steps: list[Step] = [
            ("MatMul", ["x", "gate"], "g"),
            ("Sigmoid", ["g"], "s"),
            ("Mul", ["g", "s"], "silu"),
            ("Mul", ["silu", "u"], "m"),
        ]
        producers = feed_forward(*steps, last="m")["m"].producers
        assert producers is not None
        assert (set(producers.matrices), producers.vectors) == ({"gate", "up"}, ())

    def test_with_vectors_on_both_sides(self):
        steps: list[Step] = [("Add", ["u", "wide_bias"], "a"), ("Relu", ["a"], "r"), ("Mul", ["wide_scale", "r"], "m")]
        found_input = feed_forward(*steps, last="m")["m"]
        assert found_input.norm == Norm("m", "wide_scale", None)
        assert found_input.producers is not None
        assert set(found_input.producers.vectors) == {"wide_bias", "wide_scale"}

    def test_with_a_vector_that_a_node_holds(self):
        steps = [constant(np.ones(WIDE), "held"), ("Add", ["u", "held"], "a")]
        assert feed_forward(*steps, last="a")["a"].producers == Producers(("up",), ("held",))

    @pytest.mark.parametrize("held", [{"value_float": 0.5}, {"value_floats": [0.5] * WIDE}, {"value_floats": [0.5]}])
    def test_not_with_a_constant_of_another_form(self, held: dict[str, Any]):
        steps: list[Step] = [("Constant", [], "held", held), ("Mul", ["u", "held"], "m")]
        assert feed_forward(*steps, last="m")["m"].producers is None

    @pytest.mark.parametrize("other", ["row", "x", "y"])
    def test_not_with_values_that_are_not_vectors(self, other: str):
        steps: list[Step] = [
            ("MatMul", ["x", "up"], "u"),
            ("Mul", ["u", other], "m"),
            ("MatMul", ["m", "down"], OUTPUT),
        ]
        assert found(*steps, inputs=("x", "y"))["m"].producers is None

    def test_not_without_a_product(self):
        assert found(("Relu", ["wide_bias"], "r"), ("MatMul", ["r", "down"], OUTPUT))["r"].producers is None

    @pytest.mark.parametrize(
        "step",
        [
            ("Softmax", ["u"], "a"),
            ("Reshape", ["u", "sizes"], "a"),
            ("Transpose", ["u"], "a", {"perm": [0, 1]}),
            ("LayerNormalization", ["u", "wide_scale"], "a"),
            ("Slice", ["u", "sizes", "sizes"], "a"),
        ],
        ids=lambda step: step[0],
    )
    def test_not_after_ops_that_mix_or_move_channels(self, step: Step):
        steps: list[Step] = [("MatMul", ["x", "up"], "u"), step, ("MatMul", ["a", "down"], OUTPUT)]
        sizes = np.array([-1, WIDE])
        assert found(*steps, sizes=sizes)["a"].producers is None

    def test_not_after_a_split(self):
        model = a_model(
            [
                ("MatMul", ["x", "both"], "b"),
                ("Split", ["b"], "u", {"axis": -1, "num_outputs": 2}),
                ("Sigmoid", ["g"], "s"),
                ("Mul", ["u", "s"], "m"),
                ("MatMul", ["m", "down"], OUTPUT),
            ],
            {"both": np.ones((WIDTH, 2 * WIDE)), **weights_of("down")},
        )
        model.graph.node[1].output.append("g")
        by_name = {entry.name: entry for entry in inputs_of(model)}
        assert by_name["m"].producers is None

    def test_not_where_another_node_reads_a_value_in_between(self):
        steps: list[Step] = [("Relu", ["u"], "a"), ("Softmax", ["u"], "s"), ("MatMul", ["s", "square"], "other")]
        inputs = feed_forward(*steps, last="a")
        assert inputs["a"].producers is None
        assert inputs["s"].producers is None

    def test_not_where_a_residual_reads_the_activation(self):
        steps: list[Step] = [
            ("MatMul", ["x", "up"], "u"),
            ("MatMul", ["u", "square"], "d"),
            ("Add", ["u", "d"], OUTPUT),
        ]
        assert found(*steps)["u"].producers is None

    def test_not_where_the_activations_shape_is_read(self):
        steps: list[Step] = [("MatMul", ["x", "up"], "u"), ("Shape", ["u"], "s"), ("MatMul", ["u", "down"], OUTPUT)]
        assert found(*steps, outputs=(OUTPUT, "s"))["u"].producers is None

    @pytest.mark.parametrize("output", ["u", "a"])
    def test_not_where_a_value_in_between_is_an_output_of_the_graph(self, output: str):
        steps: list[Step] = [("MatMul", ["x", "up"], "u"), ("Relu", ["u"], "a"), ("MatMul", ["a", "down"], OUTPUT)]
        assert found(*steps, outputs=(OUTPUT, output))["a"].producers is None

    def test_not_where_a_product_is_in_between(self):
        """Its matrix would need more rows as well."""
        steps: list[Step] = [("MatMul", ["u", "square"], "v"), ("Mul", ["u", "v"], "m")]
        inputs = feed_forward(*steps, last="m")
        assert inputs["m"].producers is None
        assert inputs["u"].producers is None

    @pytest.mark.parametrize("vector", ["wide_bias", "wide_scale"])
    def test_not_with_a_vector_that_has_another_reader(self, vector: str):
        steps: list[Step] = [
            ("Add", ["u", "wide_bias"], "a"),
            ("Mul", ["a", "wide_scale"], "m"),
            ("Neg", [vector], "negative"),
        ]
        assert feed_forward(*steps, last="m")["m"].producers is None

    def test_not_of_a_matrix_that_has_another_reader(self):
        look_up: Step = ("Gather", ["up", "input_ids"], "e")
        steps: list[Step] = [("MatMul", ["x", "up"], "u"), ("MatMul", ["u", "down"], OUTPUT), look_up]
        assert found(*steps, inputs=("x", "input_ids"))["u"].producers is None

    def test_not_before_a_matrix_that_has_another_reader(self):
        """What the other one reads would have more rows."""
        look_up: Step = ("Gather", ["down", "input_ids"], "e")
        steps: list[Step] = [("MatMul", ["x", "up"], "u"), ("MatMul", ["u", "down"], OUTPUT), look_up]
        found_input = found(*steps, inputs=("x", "input_ids"))["u"]
        assert (found_input.matrices, found_input.producers) == (("down",), None)

    def test_not_of_a_matrix_with_one_column_for_all_channels(self):
        steps: list[Step] = [
            ("MatMul", ["x", "narrow"], "n"),
            ("MatMul", ["x", "up"], "u"),
            ("Mul", ["n", "u"], "m"),
            ("MatMul", ["m", "down"], OUTPUT),
        ]
        assert found(*steps, narrow=np.ones((WIDTH, 1)))["m"].producers is None

    def test_the_second_of_two_layers_in_a_row(self):
        steps: list[Step] = [("Relu", ["u"], "a"), ("MatMul", ["a", "square"], "v"), ("Tanh", ["v"], "t")]
        inputs = feed_forward(*steps, last="t")
        assert inputs["a"].producers == Producers(("up",), ())
        assert inputs["t"].producers == Producers(("square",), ())


def test_a_graph_without_products_has_none():
    assert not found(("Relu", ["x"], OUTPUT))
