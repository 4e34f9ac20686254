"""Calibrated int8 weights: closer to the original than plain rounding, on texts that calibration never saw."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from tokenizers import Tokenizer

from build.fidelity.requests import heldout_texts
from build.graph.optimize import optimize
from build.model.describe import describe
from build.model.trust import NO_TRUST
from build.progress import silence_libraries
from build.pytorch.export import export
from build.quantization.calibrate import TABLE_BYTES, calibrate
from build.quantization.calibrated import UNCALIBRATED, CalibratedWeights
from build.quantization.calibration_texts import calibration_ids
from build.quantization.observer import INPUTS
from build.quantization.quantize import quantize
from build.quantization.rounding import quantize_per_channel
from build.quantization.scheme import STOCK
from tests.support.graphs.tiny_graphs import OUTPUT, Step, a_model, constant, session_of, written
from tests.support.models import tiny_models
from tests.support.models.model_table import FAMILY_MODELS, TABLE
from tests.support.models.tiny_models import TinyModel

MAX_TOKENS, TEXTS = 48, 80
ROWS, WIDE, OUTLIER = 9000, 96, 7
"""The table of words takes more than a megabyte."""

BERT = TinyModel(
    "uneven-bert",
    "bert",
    "bert",
    "BertModel",
    settings={"vocab_size": ROWS, "intermediate_size": WIDE, "num_hidden_layers": 2},
)


def make_uneven(path: Path) -> None:
    """Give a model what trained ones have: norms that make some channels large, and an outlier in a feed-forward."""
    from safetensors.numpy import load_file, save_file

    weights, random = load_file(path), np.random.default_rng(3)
    for name, tensor in weights.items():
        if name.endswith("LayerNorm.weight"):
            tensor *= np.exp(random.uniform(-2, 2, tensor.shape)).astype(np.float32)
        if name == "encoder.layer.0.intermediate.dense.weight":
            tensor[OUTLIER] *= 10
        if name.endswith("output.dense.weight") and tensor.shape[1] == WIDE:
            # NOTE: smoothing cannot move an outlier into weights of similar size.
            tensor[:] = np.sign(tensor) * random.uniform(0.15, 0.3, tensor.shape)
    save_file(weights, path, {"format": "pt"})


@dataclass(frozen=True)
class Exported:
    """A graph in fp32, a directory for what is made from it, and token ids for its calibration."""

    graph: Path
    work: Path
    texts: list[NDArray[np.int64]]
    tokenizer: Tokenizer

    def calibrated(self) -> CalibratedWeights:
        return calibrate(self.graph, self.work, self.texts, STOCK, progress=False)


def exported(directory: Path, work: Path) -> Exported:
    encoder = next(iter(describe(directory, trust_remote_code=False).encoders.values()))
    with silence_libraries():
        graph = export(encoder.folder, encoder.family, work, NO_TRUST)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Exported(graph, work, calibration_ids(tokenizer, [], MAX_TOKENS)[:TEXTS], tokenizer)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    directory = tiny_models.copy(BERT, tmp_path_factory.mktemp("bert") / "model")
    make_uneven(directory / "model.safetensors")
    return exported(directory, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def calibrated(bert: Exported) -> CalibratedWeights:
    return bert.calibrated()


def embeddings(graph: Path, texts: list[NDArray[np.int64]]) -> NDArray[np.float64]:
    """Compute the embeddings of all tokens, (tokens, width)."""
    session = session_of(graph)
    names = [value.name for value in session.get_inputs()]
    runs = [session.run(None, {name: INPUTS[name](ids)[np.newaxis] for name in names})[0] for ids in texts]
    return np.concatenate([run[0] for run in runs]).astype(np.float64)


def errors(exported: Exported, calibrated: CalibratedWeights, work: Path) -> tuple[float, float]:
    """Measure relative squared errors of token embeddings with and without calibration, on texts that it never saw."""
    texts = [np.array(exported.tokenizer.encode(text).ids[:MAX_TOKENS]) for text in heldout_texts()[::2]]
    exact, found = embeddings(exported.graph, texts), []
    for name, weights in (("calibrated", calibrated), ("plain", UNCALIBRATED)):
        (work / name).mkdir()
        graph = optimize(quantize(exported.graph, work / name, weights), work / name)
        found.append(np.square(embeddings(graph, texts) - exact).sum() / np.square(exact).sum())
    return found[0], found[1]


def test_calibrated_weights_are_closer_to_the_original_on_texts_that_were_not_used(
    bert: Exported, calibrated: CalibratedWeights, tmp_path: Path
):
    with_it, without = errors(bert, calibrated, tmp_path)
    assert with_it < 0.5 * without


def test_an_outlier_channel_is_split(calibrated: CalibratedWeights):
    scaled = next(scaled for scaled in calibrated.scaled if "layer.0/intermediate" in scaled.linear_input.name)
    assert scaled.linear_input.producers is not None
    assert np.argmax(scaled.scaling.splits) == OUTLIER
    assert scaled.scaling.added == 16
    assert not scaled.folded
    record = next(record for record in calibrated.weight_records if record.weight == "encoder/layer.0/output/dense")
    assert (record.shape, record.repeated, record.smoothing) == ((WIDE, 32), 16, scaled.scaling.alpha)


def test_what_norms_make_uneven_is_smoothed_by_a_node_because_residuals_read_it_as_well(calibrated: CalibratedWeights):
    smoothed = [scaled for scaled in calibrated.scaled if not scaled.scaling.has_splits]
    assert smoothed
    assert all(scaled.linear_input.norm is None and not scaled.folded for scaled in smoothed)


def test_every_matrix_and_table_in_8_bits_has_its_record(bert: Exported, calibrated: CalibratedWeights, tmp_path: Path):
    model = onnx.load(quantize(bert.graph, tmp_path, calibrated))
    stored = {tensor.name for tensor in model.graph.initializer if tensor.name.endswith("_quantized")}
    assert {f"{name}_quantized" for name in (*calibrated.quantized, *calibrated.tables)} == stored
    records = calibrated.weight_records
    assert len(records) == len(stored) == 2 * 6 + 1
    assert len({record.weight for record in records}) == len(records)
    matrices = [record for record in records if record.storage == "int8, one scale per column"]
    assert [record.rounding for record in matrices] == ["gptq"] * 12
    assert all(record.error is not None and 0 < record.error < 0.1 for record in matrices)
    scalings = {name: scaled.scaling for scaled in calibrated.scaled for name in scaled.linear_input.matrices}
    assert sum(record.smoothing is not None for record in matrices) == sum(
        scaling.alpha is not None for scaling in scalings.values()
    )
    assert {record.repeated for record in matrices} == {0, *(scaling.added for scaling in scalings.values())}
    assert sorted(record.shape for record in matrices) == sorted([(32, 32)] * 8 + [(32, WIDE)] * 2 + [(WIDE, 32)] * 2)
    assert all("onnx::" not in record.weight for record in records)


def test_a_large_table_is_stored_by_row_and_small_ones_stay_as_they_are(
    bert: Exported, calibrated: CalibratedWeights, tmp_path: Path
):
    words = "embeddings.word_embeddings.weight"
    assert calibrated.tables == (words,)
    record = next(record for record in calibrated.weight_records if record.weight == words)
    assert (record.storage, record.shape) == ("int8, one scale per row", (ROWS, 32))
    assert (record.rounding, record.error, record.repeated) == ("nearest", None, 0)
    quantized = {
        tensor.name: tensor for tensor in onnx.load(quantize(bert.graph, tmp_path, calibrated)).graph.initializer
    }
    original = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(bert.graph).graph.initializer}
    values, scales = (numpy_helper.to_array(quantized[f"{words}_{suffix}"]) for suffix in ("quantized", "scale"))
    assert (values.dtype, scales.shape) == (np.int8, (ROWS, 1))
    assert (np.abs(values * scales - original[words]) <= 0.5001 * scales).all()
    assert words not in quantized
    positions = "embeddings.position_embeddings.weight"
    np.testing.assert_array_equal(numpy_helper.to_array(quantized[positions]), original[positions])


def hashes(work: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in work.iterdir()}


def test_the_same_model_gives_the_same_bytes(bert: Exported, calibrated: CalibratedWeights, tmp_path: Path):
    contents = []
    for name, weights in (("first", calibrated), ("again", bert.calibrated())):
        (tmp_path / name).mkdir()
        quantize(bert.graph, tmp_path / name, weights)
        contents.append(hashes(tmp_path / name))
    assert contents[0] == contents[1]
    assert len(contents[0]) == 2


def test_without_bars_nothing_is_written(bert: Exported, capfd: pytest.CaptureFixture[str]):
    calibrate(bert.graph, bert.work, bert.texts[:5], STOCK, progress=False)
    assert capfd.readouterr() == ("", "")


def test_with_bars_they_go_to_standard_error(bert: Exported, capfd: pytest.CaptureFixture[str]):
    calibrate(bert.graph, bert.work, bert.texts[:5], STOCK, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Calibrated" in err


PRE_LN = [
    next(model for model in [*FAMILY_MODELS, *TABLE.values()] if model.family == family)
    for family in ("modernbert", "qwen3")
]


@pytest.fixture(scope="module", params=PRE_LN, ids=lambda model: model.family)
def pre_ln(request, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return exported(tiny_models.make(request.param), tmp_path_factory.mktemp(request.param.name))


def test_norms_before_products_absorb_the_scales(pre_ln: Exported, tmp_path: Path):
    calibrated = pre_ln.calibrated()
    folded = [scaled for scaled in calibrated.scaled if scaled.folded]
    assert folded
    assert sum(record.folded for record in calibrated.weight_records) == sum(
        len(scaled.linear_input.matrices) for scaled in folded
    )
    with_it, without = errors(pre_ln, calibrated, tmp_path)
    assert with_it < without


WIDTH = 12


def small(path: Path, *steps: Step, rows: int = 20, **more: NDArray[np.float32]) -> Path:
    random = np.random.default_rng(4)
    source = {name: random.standard_normal((WIDTH, WIDTH)) for name in ("first", "second", "third")}
    source |= {"table": random.standard_normal((rows, WIDTH))} | more
    read = {name for step in steps for name in step[1]}
    model = a_model(steps, {name: value for name, value in source.items() if name in read}, ("input_ids",))
    return written(model, path)


def some_ids(texts: int = 20, rows: int = 20) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(5)
    return [random.integers(0, rows, length) for length in range(1, texts + 1)]


def test_matrices_that_cannot_be_calibrated_are_rounded_to_the_nearest_values_and_have_records(tmp_path: Path):
    """Two activations share a matrix."""
    graph = small(
        tmp_path / "graph.onnx",
        ("Gather", ["table", "input_ids"], "x"),
        ("MatMul", ["x", "first"], "a"),
        ("Softmax", ["a"], "s"),
        ("MatMul", ["s", "first"], "b"),
        ("MatMul", ["s", "second"], "c"),
        ("Add", ["b", "c"], "d"),
        ("MatMul", ["d", "third"], OUTPUT),
    )
    calibrated = calibrate(graph, tmp_path, some_ids(), STOCK, progress=False)
    assert set(calibrated.quantized) == {"third"}
    assert {record.weight: (record.rounding, record.error is None) for record in calibrated.weight_records} == {
        "first": ("nearest", True),
        "second": ("nearest", True),
        "third": ("gptq", False),
    }


def test_a_table_that_is_also_a_matrix_is_rounded_by_column_and_kept_as_it_is_for_its_rows(tmp_path: Path):
    side = int((TABLE_BYTES / 4) ** 0.5) + 1
    table = np.random.default_rng(4).standard_normal((side, side)).astype(np.float32)
    steps: list[Step] = [("Gather", ["table", "input_ids"], "x"), ("MatMul", ["x", "table"], OUTPUT)]
    graph = small(tmp_path / "graph.onnx", *steps, table=table)
    calibrated = calibrate(graph, tmp_path, some_ids(4, side), STOCK, progress=False)
    assert calibrated.tables == ()
    assert [record.storage for record in calibrated.weight_records] == ["int8, one scale per column"]
    found = onnx.load(quantize(graph, tmp_path, calibrated)).graph.initializer
    kept = {tensor.name: numpy_helper.to_array(tensor) for tensor in found}
    np.testing.assert_array_equal(kept["table"], table)
    assert kept["table_quantized"].shape == (side, side)


@pytest.mark.parametrize(("rows", "table"), [(TABLE_BYTES // 4 // WIDTH, False), (TABLE_BYTES // 4 // WIDTH + 1, True)])
def test_how_large_a_table_must_be(tmp_path: Path, rows: int, table: bool):
    graph = small(tmp_path / "graph.onnx", ("Gather", ["table", "input_ids"], OUTPUT), rows=rows)
    assert calibrate(graph, tmp_path, some_ids(1), STOCK, progress=False).tables == (("table",) if table else ())


OTHER_READERS: dict[str, list[Step]] = {
    "columns": [("Gather", ["table", "input_ids"], OUTPUT, {"axis": 1})],
    "another op": [
        ("Gather", ["table", "input_ids"], "x"),
        ("ReduceMean", ["table"], "m"),
        ("Add", ["x", "m"], OUTPUT),
    ],
    "nothing": [constant([1.0], "one"), ("Identity", ["one"], OUTPUT), ("Shape", ["input_ids"], "table_shape")],
}


@pytest.mark.parametrize("kind", OTHER_READERS)
def test_a_table_that_something_else_reads_stays_as_it_is(tmp_path: Path, kind: str):
    graph = small(tmp_path / "graph.onnx", *OTHER_READERS[kind], rows=30_000)
    assert calibrate(graph, tmp_path, some_ids(1), STOCK, progress=False).tables == ()


def test_without_texts_everything_is_rounded_to_the_nearest_values(tmp_path: Path):
    """As for a tokenizer that yields no token for any of them."""
    graph = small(tmp_path / "graph.onnx", ("Gather", ["table", "input_ids"], "x"), ("MatMul", ["x", "first"], OUTPUT))
    calibrated = calibrate(graph, tmp_path, [], STOCK, progress=False)
    assert (calibrated.scaled, calibrated.quantized, calibrated.tables) == ((), {}, ())
    assert [(record.weight, record.rounding, record.error) for record in calibrated.weight_records] == [
        ("first", "nearest", None)
    ]


def test_activations_that_are_not_numbers_give_the_nearest_values(tmp_path: Path):
    """What is not finite does not reach the report either: JSON has no word for it."""
    table = np.random.default_rng(4).standard_normal((20, WIDTH)).astype(np.float32)
    table[3, 4] = np.nan
    steps: list[Step] = [("Gather", ["table", "input_ids"], "x"), ("MatMul", ["x", "first"], OUTPUT)]
    graph = small(tmp_path / "graph.onnx", *steps, table=table)
    with np.errstate(all="ignore"):
        calibrated = calibrate(graph, tmp_path, some_ids(), STOCK, progress=False)
    source = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(graph).graph.initializer}
    assert calibrated.scaled == ()
    np.testing.assert_array_equal(calibrated.quantized["first"].values, quantize_per_channel(source["first"]).values)
    assert [(record.rounding, record.error) for record in calibrated.weight_records] == [("nearest", None)]


def test_quantized_matrices_are_on_disk_and_not_in_memory(tmp_path: Path):
    graph = small(tmp_path / "graph.onnx", ("Gather", ["table", "input_ids"], "x"), ("MatMul", ["x", "first"], OUTPUT))
    calibrated = calibrate(graph, tmp_path, some_ids(), STOCK, progress=False)
    assert isinstance(calibrated.quantized["first"].values, np.memmap)
    assert (tmp_path / "quantized-0.npy").exists()
