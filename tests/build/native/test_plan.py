"""What decides whether a graph runs on the native kernels besides the graph itself: the family and the config."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from build.model.families import FAMILIES
from build.native.patterns import native_family
from tests.support.graphs.native_graphs import NATIVE_MODELS, exported
from tests.support.json_files import change
from tests.support.models.tiny_models import make

BERT = NATIVE_MODELS[0]


@pytest.mark.parametrize("heads", [4, 3])
def test_heads_that_the_graph_does_not_have_are_not_native(heads: int, tmp_path: Path):
    original = exported(BERT)
    (tmp_path / "config.json").write_text((make(BERT) / "config.json").read_text())
    change(tmp_path / "config.json", lambda config: config.update(num_attention_heads=heads))
    other = replace(original, spec=replace(original.spec, folder=tmp_path))
    assert other.reason() == "the attention of layer 0 is not what the native kernels compute"


def test_other_families_have_no_native_kernels():
    others = {family.model_type for family in FAMILIES if native_family(family.model_type) is None}
    assert others == {"modernbert", "deberta-v2", "t5", "qwen3", "gemma3_text", "nomic_bert"}


def test_a_family_without_native_kernels_is_named():
    original = exported(BERT)
    t5 = next(family for family in FAMILIES if family.model_type == "t5")
    other = replace(original, spec=replace(original.spec, family=t5))
    assert other.reason() == "the native kernels do not support t5"
