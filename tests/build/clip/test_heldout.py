from __future__ import annotations

import numpy as np
import pytest

from build.clip.gate import IMAGES, check_towers
from build.clip.heldout import COUNT, golden_images, heldout_images
from build.errors import FidelityTooLow
from build.fidelity.cosine import summarize
from build.fidelity.cpu_classes import FLOATS
from build.fidelity.report import MeasuredClass, MeasuredText
from build.fidelity.thresholds import Thresholds
from manifest import Precision


def measured(*values: float) -> MeasuredClass:
    texts = tuple(MeasuredText(n, f"item {n}", None, None, 0, value) for n, value in enumerate(values, 1))
    return MeasuredClass(FLOATS, summarize(np.array(values)), texts, ())


def test_images_are_the_same_every_time_and_differ_from_one_another():
    first, second = ([image.data for image in heldout_images()] for _ in range(2))
    assert first == second
    assert len(set(first)) == COUNT


def test_golden_images_are_small_and_not_held_out():
    golden = golden_images()
    assert len(golden) == 2
    assert sum(len(image.text) for image in golden) < 30_000
    assert not {image.data for image in golden} & {image.data for image in heldout_images()}


def test_images_are_held_to_a_strict_minimum():
    assert IMAGES[Precision.INT8_STOCK] == Thresholds(mean=0.995, p1=0.985, minimum=0.98)


REQUIRED = Thresholds(mean=0.99, p1=0.9, minimum=0.9)


def test_towers_that_are_close_enough_pass():
    check_towers(measured(1, 0.99), measured(0.99, 1), REQUIRED, REQUIRED, Precision.INT8_STOCK)


@pytest.mark.parametrize("tower", ["text", "image"])
def test_a_tower_that_is_too_far_is_named_with_what_to_do(tower: str):
    good, bad = measured(1, 1), measured(1, 0.8)
    towers = (bad, good) if tower == "text" else (good, bad)
    with pytest.raises(FidelityTooLow, match=f"^{tower} tower: .*build with --precision fp32"):
        check_towers(*towers, REQUIRED, REQUIRED, Precision.INT8_STOCK)
