"""Draws pictures by a formula, so that nobody needs a data set, and everybody has the same ones. Needs numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SIZES = ((224, 224), (320, 240), (240, 320), (97, 61), (400, 150))
"""Widths and heights: what networks read, usual proportions, small, and wide."""

COUNT = 40
"""So many pictures are a set."""


def size_of(number: int) -> tuple[int, int]:
    """Width and height of a picture of the set."""
    return SIZES[number % len(SIZES)]


def drawing(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3): a gradient of two colors, discs, and in two of three pictures stripes or noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    angle = random.uniform(0, 2 * np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle))[..., np.newaxis]
    first, second = random.uniform(0, 255, (2, 3))
    picture = first + (second - first) * (along - along.min()) / np.ptp(along)
    for _ in range(random.integers(1, 5)):
        center, radius, color = random.uniform(0, 1, 2), random.uniform(0.05, 0.3), random.uniform(0, 255, 3)
        picture[np.hypot(x - center[0], y - center[1]) < radius] = color
    if seed % 3 == 1:
        picture = picture + 60 * np.sin(along * random.uniform(30, 120))
    if seed % 3 == 2:
        picture = picture + random.normal(0, 40, picture.shape)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
