"""Which files make a directory a static model, and whose reading decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from build.errors import BuildError, UnsupportedModel
from build.kinds import kind_of
from build.static.describe import describe_static
from build.static.layout import find_layout
from build.static.table import in_precision, read_table
from manifest import MAX_PADDING, Kind, LayerKind, Padding, Precision, Reading
from tests.support.models.static_models import older_layout, own_layout, rows, sentence_layout, unigram, wordpiece


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return own_layout(tmp_path / "model", wordpiece())


def test_model2vecs_own_files_decide_where_there_are_others(own: Path):
    layout = find_layout(own)
    assert layout is not None
    assert (layout.reading, layout.is_both) == (Reading.MODEL2VEC, True)
    (own / "modules.json").unlink()
    assert find_layout(own).is_both is False
    assert kind_of(own)[0] is Kind.STATIC


def test_without_them_modules_make_it_a_model_of_sentence_transformers(tmp_path: Path):
    directory = sentence_layout(tmp_path / "model", wordpiece())
    assert find_layout(directory).reading is Reading.SENTENCE_TRANSFORMERS
    described = describe_static(directory)
    assert (described.unknown_id, described.max_tokens, described.characters_per_token) == (None, None, None)


@pytest.mark.parametrize("folder", ["", "0_StaticEmbedding"])
def test_older_layouts_are_read_as_model2vec_reads_them(tmp_path: Path, folder: str):
    directory = older_layout(tmp_path / "model", wordpiece(), folder)
    assert find_layout(directory).reading is Reading.MODEL2VEC
    assert describe_static(directory).layers == ()


def test_a_directory_without_a_table_is_no_static_model(own: Path):
    save_file({"weights": np.zeros(3, np.float32)}, own / "model.safetensors")
    assert find_layout(own) is None
    (own / "model.safetensors").write_bytes(b"not safetensors")
    assert find_layout(own) is None
    (own / "modules.json").write_text("{")
    assert find_layout(own) is None


def test_limits_and_layers_are_the_packages(own: Path):
    described = describe_static(own)
    tokens = sorted(map(len, wordpiece().get_vocab()))
    assert (described.max_tokens, described.unknown_id) == (512, 1)
    assert described.characters_per_token == int(np.median(tokens))
    assert [layer.kind for layer in described.layers] == [LayerKind.NORMALIZE]


def test_a_unigram_names_no_unknown_token(tmp_path: Path):
    assert describe_static(own_layout(tmp_path / "model", unigram())).unknown_id is None


def test_a_tokenizers_own_limit_is_kept(own: Path):
    tokenizer = wordpiece()
    tokenizer.enable_truncation(9)
    tokenizer.save(str(own / "tokenizer.json"))
    assert describe_static(own).tokenizer_limit == 9


def refused(directory: Path) -> str:
    with pytest.raises(BuildError) as error:
        read_table(describe_static(directory))
    return str(error.value)


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ({"length": 8}, Padding(0, 8, 1)),
        ({"length": 8, "pad_to_multiple_of": 3, "pad_id": 2}, Padding(2, 9, 1)),
        ({"pad_to_multiple_of": 16}, Padding(0, 0, 16)),
        ({}, None),
        ({"length": 8, "pad_id": 1}, None),
    ],
    ids=["length", "both", "multiple", "longest of a batch", "unknown token"],
)
def test_padding_that_counts_is_kept(own: Path, padding: dict[str, Any], expected: Padding | None):
    tokenizer = wordpiece()
    tokenizer.enable_padding(**padding)
    tokenizer.save(str(own / "tokenizer.json"))
    described = describe_static(own)
    assert described.padding == expected
    assert described.tokenizer.padding is None


def test_a_padding_token_without_a_row_is_refused(own: Path):
    tokenizer = wordpiece()
    size = tokenizer.get_vocab_size()
    tokenizer.enable_padding(length=8, pad_id=size)
    tokenizer.save(str(own / "tokenizer.json"))
    assert refused(own) == f"model.safetensors has {size} rows, and the tokenizer the id {size}"


def test_padding_on_the_left_is_refused(own: Path):
    tokenizer = wordpiece()
    tokenizer.enable_padding(length=8, direction="left")
    tokenizer.save(str(own / "tokenizer.json"))
    assert refused(own) == "tokenizer.json: padding.direction must be right, not left"


def test_padding_without_end_is_refused(own: Path):
    tokenizer = wordpiece()
    tokenizer.enable_padding(length=MAX_PADDING + 1)
    tokenizer.save(str(own / "tokenizer.json"))
    assert refused(own) == "tokenizer.json: padding must be to at most 65536 tokens"


def test_truncation_from_the_left_is_refused(own: Path):
    tokenizer = wordpiece()
    tokenizer.enable_truncation(9, direction="left")
    tokenizer.save(str(own / "tokenizer.json"))
    assert refused(own) == "tokenizer.json: truncation.direction must be right, not left"


def test_normalize_must_be_a_boolean(own: Path):
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps({**config, "normalize": "yes"}))
    assert refused(own) == 'config.json: normalize must be true or false, not "yes"'


def test_a_damaged_tokenizer_is_named(own: Path):
    (own / "tokenizer.json").write_text("{}")
    assert refused(own).startswith("tokenizer.json cannot be loaded: ")


def test_an_unknown_module_behind_the_table_is_named(tmp_path: Path):
    directory = sentence_layout(tmp_path / "model", wordpiece(), normalize=True)
    modules = json.loads((directory / "modules.json").read_text())
    modules[1]["type"] = "sentence_transformers.models.CNN"
    (directory / "modules.json").write_text(json.dumps(modules))
    assert refused(directory) == "modules.json: the module CNN is not supported behind a StaticEmbedding"


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("embeddings", rows(5), "model.safetensors has 5 rows, and the tokenizer 32 tokens"),
        ("embeddings", np.zeros(32, np.float32), "embeddings must be a table of rows, not of the shape [32]"),
        ("embeddings", np.zeros((32, 2), np.int32), "embeddings must be one of F64, F32, F16, I8, not I32"),
        ("embeddings", np.full((32, 2), np.nan, np.float32), "model.safetensors has numbers that are not finite"),
        ("weights", np.zeros(5, np.float32), "weights must have a number for each of 32 tokens"),
        ("mapping", np.zeros(5, np.int64), "mapping must have a number for each of 32 tokens"),
        ("mapping", np.full(32, 32), "mapping must hold the numbers of rows, from 0 to 31"),
    ],
)
def test_arrays_that_do_not_fit_are_named(own: Path, name: str, array: np.ndarray, message: str):
    save_file({**load_file(own / "model.safetensors"), name: array}, own / "model.safetensors")
    assert wordpiece().get_vocab_size() == 32
    assert message in refused(own)


class TestPrecisions:
    @pytest.mark.parametrize("kind", ["float16", "int8", "float32"])
    def test_fp32_has_the_same_numbers(self, tmp_path: Path, kind: str):
        table = read_table(describe_static(own_layout(tmp_path / "model", wordpiece(), kind)))
        wide = in_precision(table, Precision.FP32)
        assert wide.rows.dtype == np.float32
        np.testing.assert_array_equal(wide.rows, table.rows.astype(np.float64))

    def test_int8_is_off_by_half_a_step_of_its_row_at_most(self, own: Path):
        table = read_table(describe_static(own))
        small = in_precision(table, Precision.INT8)
        assert (small.rows.dtype, small.scales.shape) == (np.int8, (32,))
        error = np.abs(small.rows * small.scales[:, None].astype(np.float64) - table.rows)
        assert (error <= small.scales[:, None] * 0.5001).all()

    def test_a_row_of_zeros_stays_one(self, own: Path):
        arrays = load_file(own / "model.safetensors")
        arrays["embeddings"][3] = 0
        save_file(arrays, own / "model.safetensors")
        small = in_precision(read_table(describe_static(own)), Precision.INT8)
        assert not small.rows[3].any()
        assert small.scales[3] == 1

    def test_a_table_in_8_bits_is_kept(self, tmp_path: Path):
        table = read_table(describe_static(own_layout(tmp_path / "model", wordpiece(), "int8")))
        assert in_precision(table, Precision.INT8) is table


def test_bfloat16_is_widened_for_sentence_transformers_alone(tmp_path: Path):
    import torch
    from safetensors.torch import save_file as save_tensors

    directory = sentence_layout(tmp_path / "model", wordpiece())
    values = torch.from_numpy(rows(32)).to(torch.bfloat16)
    file = find_layout(directory).folder / "model.safetensors"
    save_tensors({"embedding.weight": values}, file)
    np.testing.assert_array_equal(read_table(describe_static(directory)).rows, values.float().numpy())
    own = own_layout(tmp_path / "own", wordpiece())
    save_tensors({"embeddings": values}, own / "model.safetensors")
    with pytest.raises(UnsupportedModel, match="not BF16"):
        read_table(describe_static(own))
