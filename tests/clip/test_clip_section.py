from __future__ import annotations

from dataclasses import replace

import pytest

from manifest import BundleError, ClipModel, OpSet
from tests.support.bundles.clip_models import GRAPH, IMAGE, PIXELS
from tests.support.bundles.text_models import a_text_model

GOOD = ClipModel(a_text_model(), IMAGE)


def test_a_good_section_names_its_files():
    GOOD.check()
    assert GOOD.files() == a_text_model().files() | {"image.onnx", "image.onnx.data"}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (replace(GOOD, image=replace(IMAGE, memory=0)), "clip.image.memory must be at least 1, not 0"),
        (
            replace(GOOD, image=replace(IMAGE, graph=replace(GRAPH, inputs=()))),
            "clip.image.graph.inputs must have one name, not 0",
        ),
        (
            replace(GOOD, image=replace(IMAGE, graph=replace(GRAPH, ops=OpSet("cpu2vec", 1)))),
            "clip.image.graph.layout must be packed for a graph with ops, not padded",
        ),
        (
            replace(GOOD, image=replace(IMAGE, pixels=replace(PIXELS, side=9))),
            "clip.image.pixels.side must be at most 8, not 9",
        ),
        (replace(GOOD, text=replace(GOOD.text, dim=0)), "text.dim must be at least 1, not 0"),
        (
            replace(GOOD, text=replace(GOOD.text, default_encoder=None)),
            "clip.text.default_encoder is missing: texts have no task here",
        ),
    ],
)
def test_what_cannot_be_is_rejected_by_name(section: ClipModel, message: str):
    with pytest.raises(BundleError) as error:
        section.check()
    assert str(error.value) == message
