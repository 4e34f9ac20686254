"""Both towers of CLIP on the native kernels: matched, lowered, and as close to the original as int8 is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, NodeProto, helper, numpy_helper

from build.clip.export import FORMER_END, FORMER_MODEL, IMAGE, TEXT
from build.fidelity.cosine import cosines
from build.graph.external_data import load_graph, write_graph
from build.graph.index import GraphIndex
from build.kinds.clip_towers import Tower, end_of_texts, match_text_tower
from build.native.encoder import AttentionMask, KernelActivation, NotNative
from manifest import Layout, OpSet
from tests.support.graphs.clip_graphs import NAMES, Clip, clip, sample_pixels
from tests.support.graphs.kernel_ops import available, options
from tests.support.graphs.native_graphs import open_native
from tests.support.models.tiny_clip import DIM, END, SIDE, clip_tokenizer

MIN_COSINE = 0.99
"""Random weights lose more than trained ones; a wrong scale, norm or mask loses all."""

WIDE = {"hidden_size": 400, "num_attention_heads": 5, "intermediate_size": 650, "hidden_act": "gelu"}
"""Heads of 80, and channels in two and in three groups."""


def lowered(tower: Tower, directory: Path, name: str = "tower") -> Path:
    """Write the tower's native graph as a bundle has it."""
    directory.mkdir(exist_ok=True)
    return directory / write_graph(tower.quantize().graph, directory, name).file


def text_feed(texts: list, rows: np.ndarray | None = None) -> dict:
    lengths = np.array([len(ids) for ids in texts])
    feed = {"input_ids": np.concatenate(texts), "lengths": lengths}
    return {**feed, "rows": np.arange(lengths.sum()) if rows is None else rows}


def test_both_towers_are_matched():
    text, image = (clip().tower(name) for name in NAMES)
    assert (text.stock_reason, image.stock_reason) == (None, None)
    assert text.native is not None
    assert image.native is not None
    for encoder, mask in ((text.native.encoder, AttentionMask.CAUSAL), (image.native.encoder, AttentionMask.NONE)):
        assert (len(encoder.layers), encoder.heads, encoder.norm_first, encoder.mask) == (2, 4, True, mask)
        assert {layer.activation for layer in encoder.layers} == {KernelActivation.QUICK_GELU}


def test_other_activations_of_clip_are_matched():
    tower = clip(**WIDE).tower(IMAGE)
    assert tower.native is not None
    assert {layer.activation for layer in tower.native.encoder.layers} == {KernelActivation.GELU}


@pytest.mark.parametrize("isa", available())
def test_texts_come_close_to_the_original(isa: str, tmp_path: Path):
    texts = clip().texts()
    tower = clip().tower(TEXT).calibrated_on(clip().texts((20,) * 30), bars=False)
    session = open_native(lowered(tower, tmp_path), isa)
    found, expected = session.run(None, text_feed(texts))[0], np.concatenate(clip().text_states(texts))
    assert cosines(found, expected).min() > MIN_COSINE
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1), rtol=0.05)


@pytest.mark.parametrize("model", [{}, WIDE, {"patch_size": 16}], ids=["tiny", "wide", "four patches"])
def test_images_come_close_to_the_original(model: dict, tmp_path: Path):
    original, pixels = clip(**model), sample_pixels(6)
    tower = original.tower(IMAGE).calibrated_on(list(sample_pixels(60, seed=2)), bars=False)
    graph, expected = lowered(tower, tmp_path), original.image_vectors(pixels)
    for isa in available():
        found = open_native(graph, isa).run(None, {"pixel_values": pixels})[0]
        assert cosines(found, expected).min() > MIN_COSINE
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(expected, axis=1), rtol=0.05)


@pytest.mark.parametrize("isa", available())
def test_a_text_has_the_same_bits_alone_in_a_batch_on_threads_and_of_all_rows(isa: str, tmp_path: Path):
    texts, graph = clip().texts(), lowered(clip().tower(TEXT), tmp_path)
    ends = np.cumsum([len(ids) for ids in texts]) - 1
    session = open_native(graph, isa)
    every = session.run(None, text_feed(texts))[0]
    np.testing.assert_array_equal(session.run(None, text_feed(texts, ends))[0], every[ends])
    for text, end in zip(texts, ends, strict=True):
        alone = session.run(None, text_feed([text], np.array([len(text) - 1])))[0]
        np.testing.assert_array_equal(alone[0], every[end])
    for threads in (2, 7):
        np.testing.assert_array_equal(on_threads(graph, isa, threads).run(None, text_feed(texts))[0], every)


@pytest.mark.parametrize("isa", available())
def test_an_image_has_the_same_bits_alone_in_a_batch_and_on_threads(isa: str, tmp_path: Path):
    pixels, graph = sample_pixels(3), lowered(clip().tower(IMAGE), tmp_path)
    session = open_native(graph, isa)
    every = session.run(None, {"pixel_values": pixels})[0]
    alone = [session.run(None, {"pixel_values": image[None]})[0][0] for image in pixels]
    np.testing.assert_array_equal(alone, every)
    for threads in (2, 7):
        np.testing.assert_array_equal(on_threads(graph, isa, threads).run(None, {"pixel_values": pixels})[0], every)


def on_threads(graph: Path, isa: str, threads: int) -> ort.InferenceSession:
    return ort.InferenceSession(str(graph), options(isa, threads), providers=["CPUExecutionProvider"])


def test_a_token_does_not_depend_on_later_ones_while_attention_is_in_floats(tmp_path: Path):
    (text,) = clip().texts((12,))
    other = np.append(text[:6], text[5:11])
    session = open_native(lowered(clip().tower(TEXT), tmp_path))
    first, second = (session.run(None, text_feed([ids]))[0] for ids in (text, other))
    np.testing.assert_array_equal(first[:6], second[:6])
    assert (first[6:] != second[6:]).any()


def test_what_a_bundle_says_of_the_graphs(tmp_path: Path):
    text, image = (write_graph(clip().tower(name).quantize().graph, tmp_path, name) for name in NAMES)
    assert (text.inputs, text.output) == (("input_ids", "lengths", "rows", "pooled"), "last_hidden_state")
    assert (image.inputs, image.output) == (("pixel_values",), "vectors")
    for graph in (text, image):
        assert (graph.layout, graph.ops) == (Layout.PACKED, OpSet("cpu2vec", 7))
    (described,) = open_native(tmp_path / image.file).get_inputs()
    assert described.shape == ["images", 3, SIDE, SIDE]
    (vectors,) = open_native(tmp_path / image.file).get_outputs()
    assert vectors.shape == ["images", DIM]


def node(model: ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def full_attention(model: ModelProto) -> None:
    added = node(model, "/text_model/encoder/layers.1/self_attn/Add")
    softmax = node(model, "/text_model/encoder/layers.1/self_attn/Softmax")
    softmax.input[0] = added.input[0]


def another_residual(model: ModelProto) -> None:
    added = node(model, "/text_model/encoder/layers.1/Add_1")
    added.input[list(added.input).index("/text_model/encoder/layers.1/Add_output_0")] = (
        "/text_model/encoder/layers.0/Add_1_output_0"
    )


def norm_of_an_earlier_state(model: ModelProto) -> None:
    norm = node(model, "/text_model/encoder/layers.1/layer_norm1/LayerNormalization")
    norm.input[0] = "/text_model/embeddings/Add_output_0"


def last_norm_of_an_earlier_state(model: ModelProto) -> None:
    norm = node(model, "/text_model/final_layer_norm/LayerNormalization")
    norm.input[0] = "/text_model/encoder/layers.0/Add_1_output_0"


def changed_end(model: ModelProto) -> None:
    before = model.graph.output[0].name
    producer = next(node for node in model.graph.node if before in node.output)
    producer.output[0] = "before"
    model.graph.node.append(helper.make_node("Tanh", ["before"], [before], "/more"))


def other_words(model: ModelProto) -> None:
    """Every word is the one before."""
    gather = node(model, "/text_model/embeddings/token_embedding/Gather")
    model.graph.initializer.append(numpy_helper.from_array(np.array(1), "one"))
    earlier = helper.make_node("Sub", [gather.input[1], "one"], ["earlier"], "/earlier")
    model.graph.node.insert(list(model.graph.node).index(gather), earlier)
    gather.input[1] = "earlier"


def last_token(model: ModelProto) -> None:
    node(model, "/vision_model/Gather").input[1] = added_index(model, 1)


def added_index(model: ModelProto, value: int) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.array(value), "another_index"))
    return "another_index"


def projection_of_the_state(model: ModelProto) -> None:
    node(model, "/visual_projection/MatMul").input[0] = "/vision_model/Gather_output_0"


def transposed_patches(model: ModelProto) -> None:
    cut = next(n for n in model.graph.node if n.op_type == "Transpose" and "patch_embedding" in n.name)
    next(entry for entry in cut.attribute if entry.name == "perm").ints[:] = [0, 2, 4, 1, 5, 3]


def scaled_positions(model: ModelProto) -> None:
    added = node(model, "/vision_model/embeddings/Add")
    doubled = helper.make_node("Add", [added.output[0], added.output[0]], ["doubled"], "/doubled")
    model.graph.node.insert(list(model.graph.node).index(added) + 1, doubled)
    node(model, "/vision_model/pre_layrnorm/LayerNormalization").input[0] = "doubled"


CHANGES: list[tuple[str, Callable[[ModelProto], None], str]] = [
    (TEXT, full_attention, "the attention of layer 1 is not what the native kernels compute"),
    (TEXT, another_residual, "is not added to a block's input"),
    (TEXT, norm_of_an_earlier_state, "does not read the sum of a block's input and output"),
    (TEXT, last_norm_of_an_earlier_state, "does not read what comes before it in this family"),
    (TEXT, changed_end, "its graph does not end after its last known layer"),
    (TEXT, other_words, "its word embeddings are not looked up by token id"),
    (IMAGE, last_token, "what follows its last known layer is not a norm of the class token"),
    (IMAGE, projection_of_the_state, "its graph does not end after its projection"),
    (IMAGE, changed_end, "its graph does not end after its projection"),
    (IMAGE, transposed_patches, "its product of patches does not read the pixels of each in a row"),
    (IMAGE, scaled_positions, "its embeddings are not the sum of patches and positions"),
]


@pytest.mark.parametrize(("name", "change", "reason"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_tower_that_differs_in_anything_is_not_matched(name: str, change: Callable, reason: str):
    original: Clip = clip()
    model = load_graph(original.graphs[name])
    change(model)
    with pytest.raises(NotNative) as caught:
        original.match(name, GraphIndex(model, original.graphs[name].parent))
    assert reason in str(caught.value)


def test_images_that_patches_do_not_divide_keep_their_convolution():
    tower = clip(patch_size=7).tower(IMAGE)
    assert tower.native is None
    assert tower.stock_reason == "its graph has no node /vision_model/embeddings/patch_embedding/MatMul"


def test_a_text_tower_without_an_end_stays_with_onnxruntime():
    original = clip()
    with pytest.raises(NotNative, match="its texts do not end with a token that only ends texts"):
        match_text_tower(original.index(TEXT), original.config.text_config, None)


def test_the_end_is_what_every_text_ends_with(tmp_path: Path):
    def found(stated: int, model_type: str = FORMER_MODEL) -> int | None:
        return end_of_texts(
            SimpleNamespace(model_type=model_type, text_config=SimpleNamespace(eos_token_id=stated)), tokenizer
        )

    tokenizer = clip_tokenizer(tmp_path)._tokenizer
    end = tokenizer.token_to_id(END)
    assert found(end) == found(FORMER_END) == end
    assert found(end - 1) is None
    assert found(FORMER_END, "metaclip_2") is None
    assert found(end, "siglip") is None, "texts are padded after their end, and read from the last position"
    tokenizer.add_special_tokens(["<|later|>"])
    assert found(end) == end
    assert found(FORMER_END) is None, "the original reads the largest id, which texts do not end with"


def test_a_stock_tower_is_quantized_to_onnxruntimes_ops(tmp_path: Path):
    stock = replace(clip().tower(IMAGE), native=None)
    assert stock.calibrated_on([], bars=False) is stock
    session = ort.InferenceSession(str(stock.quantize().optimize().graph))
    pixels = sample_pixels(2)
    found = np.concatenate([session.run(None, {"pixel_values": image[None]})[0] for image in pixels])
    assert cosines(found, clip().image_vectors(pixels)).min() > 0.97
