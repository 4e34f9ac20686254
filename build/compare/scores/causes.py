"""Finds out why the old scores differ: tries what another container may make of the bundle's logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from build.compare.verdict import Verdict
from build.ranking.figures import Logits, figures_of
from manifest import ScoreFigures

MAX_REMAINING = 0.5
"""An activation function explains something if at most this share of the RMS error remains."""

UNRELATED = 0.5
"""Below this Kendall's tau, fewer than three of four pairs of documents are in the same order."""


class ScoreCause(StrEnum):
    """Why scores of the same documents differ."""

    ACTIVATION = "another activation function"
    ANOTHER_MODEL = "another model"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ScoreFinding:
    """An explanation that the measurements support."""

    cause: ScoreCause
    text: str


def _sigmoid(logits: Logits) -> Logits:
    return 0.5 * (1 + np.tanh(0.5 * logits))


ACTIVATIONS: dict[str, Callable[[Logits], Logits]] = {"logits": lambda logits: logits, "sigmoids of logits": _sigmoid}
"""What other containers answer with, whatever the model declares."""


def find_score_causes(
    old: Sequence[Logits], new: Sequence[Logits], logits: Sequence[Logits], verdict: Verdict
) -> tuple[ScoreFinding, ...]:
    """Explain the old scores by the bundle's ``new`` ones and its ``logits``: one array, (documents,), for each query.

    No activation function changes an order, so that rankings that differ have another cause.
    """
    served = figures_of(new, old)
    if served.rank_agreement < UNRELATED:
        text = f"Kendall's tau is below {UNRELATED}: the old container serves another model, or another revision"
        return (ScoreFinding(ScoreCause.ANOTHER_MODEL, text),)
    activation = _activation(served, {name: figures_of(list(map(of, logits)), old) for name, of in ACTIVATIONS.items()})
    if verdict is Verdict.DROP_IN:
        return activation
    text = "one of the two is quantized, cuts long texts elsewhere, or serves another revision"
    return (*activation, ScoreFinding(ScoreCause.UNKNOWN, text))


def _activation(served: ScoreFigures, tried: Mapping[str, ScoreFigures]) -> tuple[ScoreFinding, ...]:
    name = min(tried, key=lambda name: tried[name].error_rms)
    if tried[name].error_rms > MAX_REMAINING * served.error_rms:
        return ()
    text = (
        f"the old container answers with {name}, and the bundle with what the model declares (allowing for that, the "
        f"RMS error is {tried[name].error_rms:.1%} of the spread)"
    )
    return (ScoreFinding(ScoreCause.ACTIVATION, text),)
