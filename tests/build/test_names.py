"""Names of bundles and images: readable, valid for Docker, different for different builds."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build.names import bundle_name, image_tag
from manifest import Precision, Target

TAG = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,127}", re.ASCII)
BUILDS = st.tuples(st.text(), st.none() | st.text(), st.sampled_from(Precision), st.sampled_from(Target))


@pytest.mark.parametrize(
    ("model", "revision", "name"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", None, "sentence-transformers-all-minilm-l6-v2-int8-amd64"),
        ("BAAI/bge-m3", "v2", "baai-bge-m3-v2-int8-amd64"),
        ("BAAI/bge-m3", "", "baai-bge-m3-int8-amd64"),
        ("BAAI/bge-m3", "refs/pr/4", "baai-bge-m3-refs-pr-4-int8-amd64"),
        ("./my-model/", None, "my-model-int8-amd64"),
        ("../models/a b", None, "models-a-b-int8-amd64"),
        ("/data/my_model.v1", None, "data-my_model.v1-int8-amd64"),
        ("org/two--dashes", None, "org-two--dashes-int8-amd64"),
        ("my model $(touch f)", None, "my-model-touch-f--int8-amd64"),
        ("-x", None, "x-int8-amd64"),
        ("Ünïcode", None, "n-code-int8-amd64"),
        (".", None, "model-int8-amd64"),
        ("模型", None, "model-int8-amd64"),
    ],
)
def test_names_are_readable(model: str, revision: str | None, name: str):
    assert bundle_name(model, revision, Precision.INT8, Target.AMD64) == name
    assert image_tag(model, revision, Precision.INT8, Target.AMD64) == f"cpu2vec:{name}"


@given(BUILDS)
def test_every_name_is_a_valid_tag(build: tuple[str, str | None, Precision, Target]):
    assert TAG.fullmatch(bundle_name(*build))


def test_precisions_and_architectures_have_their_own_names():
    names = {bundle_name("org/name", "main", precision, target) for precision in Precision for target in Target}
    assert len(names) == len(Precision) * len(Target)


def test_names_that_are_too_long_end_in_a_hash_that_tells_them_apart():
    models = [f"org/{'long-' * 30}{ending}" for ending in ("a", "b")]
    names = [bundle_name(model, "v1", Precision.INT8_STOCK, Target.ARM64) for model in models]
    assert names[0] != names[1]
    for name in names:
        assert len(name) == 128
        assert re.fullmatch(r"org-long-.*-int8-stock-arm64-[0-9a-f]{12}", name)


def test_the_longest_name_that_fits_is_kept():
    model = "m" * (128 - len("-int8-amd64"))
    assert bundle_name(model, None, Precision.INT8, Target.AMD64) == f"{model}-int8-amd64"
