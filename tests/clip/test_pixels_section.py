from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from manifest import BundleError
from sections.pixels import MAX_SIDE, PixelInput, Resample

GOOD = PixelInput(224, 224, 1 / 255, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_what_clip_reads_is_accepted():
    GOOD.check("image.pixels")
    replace(GOOD, side=1).check("image.pixels")
    replace(GOOD, stretches=True, resample=Resample.BILINEAR).check("image.pixels")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": 0}, "side must be at least 1, not 0"),
        ({"side": 225}, "side must be at most 224, not 225"),
        ({"short_side": MAX_SIDE + 1}, "short_side must be at most 4096, not 4097"),
        ({"side": 200, "stretches": True}, "short_side must be 200 where images are stretched, not 224"),
        ({"mean": (0.5, 0.5)}, "mean must have 3 numbers, not 2"),
        ({"std": ()}, "std must have 3 numbers, not 0"),
        ({"scale": float("nan")}, "scale must be finite"),
        ({"mean": (0.0, float("inf"), 0.0)}, "mean must be finite"),
        ({"std": (1.0, 0.0, 1.0)}, "std must not be 0"),
    ],
)
def test_what_cannot_be_is_rejected_by_name(change: dict[str, Any], message: str):
    with pytest.raises(BundleError) as error:
        replace(GOOD, **change).check("image.pixels")
    assert str(error.value) == f"image.pixels.{message}"
