"""Logits to scores, as the model declares it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from manifest import Activation
from runtime.text.head import ACTIVATIONS


def scores_of(logits: Sequence[float], activation: Activation) -> list[float] | None:
    """The activation of each logit, in fp32 as in the original; None if one of them is not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        scores = ACTIVATIONS[activation](np.asarray(logits, dtype=np.float32))
    if not np.isfinite(scores).all():
        return None
    numbers: list[float] = scores.tolist()
    return numbers
