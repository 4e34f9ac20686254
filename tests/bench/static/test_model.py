"""The static model that the benchmark makes for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import SetupFailed
from bench.static.model import distil
from build.static.describe import describe_static
from manifest import Reading
from tests.support.models import tiny_models
from tests.support.models.tiny_description import TinyModel

TINY = TinyModel("base", "bert", "bert", "BertModel", pooling="mean", normalize=True)


@pytest.mark.slow
def test_is_distilled_to_a_model_that_the_build_reads(tmp_path: Path):
    distil(tiny_models.make(TINY), output := tmp_path / "static", dimensions=8)
    described = describe_static(output)
    assert described.layout.reading is Reading.MODEL2VEC
    assert described.dim == 8
    assert [path.name for path in tmp_path.iterdir()] == ["static"], "nothing unfinished is left"


@pytest.mark.slow
def test_what_cannot_be_distilled_is_one_line(tmp_path: Path):
    with pytest.raises(SetupFailed, match=r"^the static model cannot be distilled: [^\n]+$"):
        distil(tmp_path / "nothing", tmp_path / "static", dimensions=8)
    assert not (tmp_path / "static").exists()
