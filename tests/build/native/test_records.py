"""How a native graph's weights are told: smoothing costs nothing, words have 8 bits, positions none."""

from __future__ import annotations

from build.native.records import native_treatments
from build.quantization.record import BY_COLUMN, BY_ROW, WeightRecord
from tests.support.graphs.native_graphs import NATIVE_MODELS, exported

PLAN = exported(NATIVE_MODELS[0]).plan()
TABLES = PLAN.encoder.embeddings


def told(*treatments: WeightRecord) -> list[WeightRecord]:
    return native_treatments(treatments, TABLES, PLAN.parts)


def a_treatment(
    weight: str, storage: str = BY_COLUMN, smoothing: float | None = None, repeated: int = 0
) -> WeightRecord:
    return WeightRecord(weight, (32, 32), storage, smoothing, repeated, False, "gptq", 0.01)


def test_words_are_told_once_whatever_their_size():
    expected = [WeightRecord(TABLES.word, (282, 32), BY_ROW, None, 0, False, "nearest", None)]
    assert told() == told(a_treatment(TABLES.word, BY_ROW)) == expected


def test_positions_stay_in_fp32():
    assert told(a_treatment(TABLES.position, BY_ROW)) == told()


def test_what_is_done_to_channels_costs_no_node():
    given = [a_treatment("smoothed", smoothing=0.5), a_treatment("repeated", repeated=16), a_treatment("plain")]
    assert [(one.weight, one.folded) for one in told(*given)[:-1]] == [
        ("smoothed", True),
        ("repeated", True),
        ("plain", False),
    ]
