"""How much of a text counts, and that a mean in parts is the mean of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifest import MAX_PADDING, BundleError, Layer, LayerKind, Padding, Reading, StaticModel
from runtime.errors import InvalidRequest, SettingsError
from runtime.static.limits import Limits, limits_of
from runtime.static.mean import BLOCK, Mean
from runtime.static.table import Table
from runtime.text.long_text import LongText


def a_model(**changes: object) -> StaticModel:
    fields: dict[str, object] = {
        "dim": 4,
        "reading": Reading.MODEL2VEC,
        "tokenizer": "tokenizer.json",
        "table": "table.npy",
        "scales": None,
        "weights": None,
        "mapping": None,
        "unknown_id": 1,
        "max_tokens": 512,
        "characters_per_token": 6,
        "tokenizer_limit": None,
        "padding": None,
        "layers": (Layer(LayerKind.NORMALIZE),),
        "prompts": {},
        "default_prompt": None,
        "tasks": {},
    }
    return StaticModel(**{**fields, **changes})  # type: ignore[arg-type]


class TestLimits:
    def test_the_originals_limits_are_the_default(self):
        assert limits_of(a_model(), LongText.TRUNCATE, None) == Limits(3072, None, 512, refuses=False)

    def test_a_lower_one_also_cuts_fewer_characters(self):
        assert limits_of(a_model(), LongText.TRUNCATE, 10) == Limits(60, None, 10, refuses=False)

    def test_a_higher_one_is_refused(self):
        with pytest.raises(SettingsError, match="MAX_TOKENS must be at most 512, the model's limit, not 513"):
            limits_of(a_model(), LongText.TRUNCATE, 513)

    def test_chunk_has_none(self):
        limits = limits_of(a_model(tokenizer_limit=3), LongText.CHUNK, None)
        assert limits == Limits(None, None, None, refuses=False)
        assert limits.take([5, 1, 6], 0, 10_000, 1) == [5, 6]

    def test_padding_counts_up_to_the_limit_of_tokens(self):
        padding = Padding(7, length=8, multiple_of=1)
        limits = Limits(None, None, 6, refuses=True)
        assert limits.padding_after(padding, seen=5, counted=4) == 2
        assert limits.padding_after(padding, seen=5, counted=6) == 0
        assert Limits(None, 4, None, refuses=False).padding_after(padding, seen=5, counted=4) == 4

    @pytest.mark.parametrize(
        ("tokens", "count"), [(0, 9), (1, 8), (7, 2), (8, 1), (9, 0), (10, 2), (12, 0)], ids=lambda value: str(value)
    )
    def test_padding_is_to_a_length_and_a_multiple(self, tokens: int, count: int):
        assert Padding(7, length=7, multiple_of=3).count(tokens) == count

    @pytest.mark.parametrize(
        ("padding", "message"),
        [
            (Padding(-1, 8, 1), "static.padding.token must be at least 0, not -1"),
            (Padding(0, -1, 1), "static.padding.length must be at least 0, not -1"),
            (Padding(0, MAX_PADDING + 1, 1), "static.padding.length must be at most 65536, not 65537"),
            (Padding(0, 8, 0), "static.padding.multiple_of must be"),
            (Padding(0, 8, MAX_PADDING + 1), "static.padding.multiple_of must be at most 65536, not 65537"),
        ],
    )
    def test_padding_that_cannot_be_is_refused(self, padding: Padding, message: str):
        with pytest.raises(BundleError, match=message):
            a_model(padding=padding).check()

    def test_a_model_without_a_limit_has_none(self):
        model = a_model(max_tokens=None, characters_per_token=None)
        assert limits_of(model, LongText.TRUNCATE, None) == Limits(None, None, None, refuses=False)

    def test_unknown_tokens_take_no_place_unless_the_tokenizer_stops_there(self):
        ids = [2, 1, 3, 1, 4]
        assert Limits(None, None, 2, refuses=False).take(ids, 0, 0, 1) == [2, 3]
        assert Limits(None, 2, None, refuses=False).take(ids, 0, 0, 1) == [2]
        assert Limits(None, None, 2, refuses=False).take(ids, 0, 0, None) == [2, 1]

    @given(
        ids=st.lists(st.integers(0, 5), max_size=40),
        cut=st.integers(0, 40),
        tokenizer=st.none() | st.integers(1, 30),
        tokens=st.none() | st.integers(1, 30),
        unknown=st.none() | st.integers(0, 5),
    )
    def test_a_text_in_two_parts_has_the_tokens_of_the_whole(
        self, ids: list[int], cut: int, tokenizer: int | None, tokens: int | None, unknown: int | None
    ):
        limits = Limits(None, tokenizer, tokens, refuses=False)
        first = limits.take(ids[:cut], 0, 0, unknown)
        second = limits.take(ids[cut:], len(ids[:cut]), len(first), unknown)
        assert first + second == limits.take(ids, 0, 0, unknown)

    def test_longer_texts_can_be_refused(self):
        limits = limits_of(a_model(max_tokens=2), LongText.ERROR, None)
        assert limits.cut("x" * 12) == "x" * 12
        assert limits.take([5, 1, 6], 0, 0, 1) == [5, 6]
        with pytest.raises(InvalidRequest, match="text must have at most 12 characters, .* but has 13"):
            limits.cut("x" * 13)
        with pytest.raises(InvalidRequest, match="text must have at most 2 tokens"):
            limits.take([5, 6, 7], 0, 0, 1)


def a_table(directory: Path, rows: np.ndarray, **changes: object) -> Table:
    np.save(directory / "table.npy", rows)
    return Table(directory, a_model(**changes))


class TestTable:
    @pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int8"])
    @pytest.mark.parametrize("count", [1, BLOCK, BLOCK + 1, 5 * BLOCK + 7])
    def test_a_mean_in_parts_has_the_bits_of_numpys(self, tmp_path: Path, kind: str, count: int):
        generator = np.random.default_rng(0)
        rows = (generator.normal(size=(50, 8)) * 20).astype(kind)
        ids = generator.integers(0, 50, count).tolist()
        mean = Mean(a_table(tmp_path, rows))
        for start in range(0, count, 300):
            mean.add(ids[start : start + 300])
        expected = rows[ids].mean(axis=0)
        assert (mean.count, mean.value.dtype) == (count, expected.dtype)
        np.testing.assert_array_equal(mean.value, expected)

    def test_no_token_at_all_has_a_mean_of_zeros(self, tmp_path: Path):
        mean = Mean(a_table(tmp_path, np.ones((3, 4), np.float16)))
        mean.add([])
        assert mean.value.tolist() == [0, 0, 0, 0]

    def test_rows_have_their_factors(self, tmp_path: Path):
        np.save(tmp_path / "scales.npy", np.array([1, 10], np.float32))
        np.save(tmp_path / "weights.npy", np.array([1, 2, 3], np.float32))
        np.save(tmp_path / "mapping.npy", np.array([0, 1, 1]))
        files = {"scales": "scales.npy", "weights": "weights.npy", "mapping": "mapping.npy"}
        table = a_table(tmp_path, np.array([[1], [2]], np.int8), **files)
        assert (table.tokens, table.rows([0, 1, 2, 0]).tolist()) == (3, [[1], [40], [60], [1]])

    @pytest.mark.parametrize(
        ("name", "array", "message"),
        [
            ("scales", np.ones(3, np.float32), "scales.npy must have 2 numbers, one for each row, not 3"),
            ("weights", np.ones(1, np.float32), "weights.npy must have 2 numbers or more, not 1"),
            ("mapping", np.array([0, 2]), "mapping.npy refers to a row that table.npy does not have"),
            ("mapping", np.array([[0]]), "mapping.npy must be an array of numbers with 1 dimension"),
            ("weights", np.array(["x", "y"]), "weights.npy must be an array of numbers with 1 dimension"),
        ],
    )
    def test_files_that_do_not_fit_are_named(self, tmp_path: Path, name: str, array: np.ndarray, message: str):
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(BundleError) as error:
            a_table(tmp_path, np.ones((2, 4), np.float32), **{name: f"{name}.npy"})
        assert message in str(error.value)

    def test_a_pickle_is_never_read(self, tmp_path: Path):
        np.save(tmp_path / "weights.npy", np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(BundleError, match="weights.npy cannot be read"):
            a_table(tmp_path, np.ones((2, 4), np.float32), weights="weights.npy")

    def test_a_missing_or_damaged_file_is_named(self, tmp_path: Path):
        with pytest.raises(BundleError, match="table.npy cannot be read"):
            Table(tmp_path, a_model())
        (tmp_path / "table.npy").write_bytes(b"\x93NUMPY")
        with pytest.raises(BundleError, match="table.npy cannot be read"):
            Table(tmp_path, a_model())
