"""The figures that a bundle must reach, and the command-line options that set them."""

from __future__ import annotations

import dataclasses
import math
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from build.errors import InvalidOption


@dataclass(frozen=True)
class Thresholds:
    """The lowest mean, 1st percentile and minimum of cosines to the original that a bundle may have."""

    mean: float
    p1: float
    minimum: float


@dataclass(frozen=True)
class ScoreThresholds:
    """What the scores of a reranker's bundle must reach."""

    rank_agreement: float
    """The lowest mean of Kendall's tau over the queries."""
    top_kept: float
    """The lowest share of queries whose best document stays the best."""
    error_rms: float
    """The highest RMS error, as a share of the spread of the original's logits."""


@dataclass(frozen=True)
class Scale:
    """The values that a threshold can have."""

    metavar: str
    what: str
    lowest: float
    highest: float

    def read(self, text: str) -> float:
        """Raises ``ArgumentTypeError`` for anything else."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not self.lowest <= value <= self.highest or math.isinf(value):
            raise ArgumentTypeError(f"must be {self.what}, not {text!r}")
        return value


COSINE = Scale("COSINE", "a cosine, a number from -1 to 1 such as 0.98", -1, 1)
TAU = Scale("TAU", "a number from -1 to 1 such as 0.95", -1, 1)
SHARE = Scale("SHARE", "a number from 0 to 1 such as 0.95", 0, 1)
ERROR = Scale("ERROR", "a number of at least 0 such as 0.03", 0, math.inf)


@dataclass(frozen=True)
class Option:
    """One threshold as an option."""

    field: str
    """Its field in ``Thresholds`` or ``ScoreThresholds``."""

    flag: str

    variable: str
    """Its name in make and in the Dockerfiles."""

    figure: str
    """The figure that it bounds, in words."""

    scale: Scale = COSINE

    is_highest: bool = False
    """Whether it is the highest value that is accepted, and not the lowest."""

    def passes(self, figure: float, threshold: float) -> bool:
        """Whether the figure is within the threshold; NaN never is."""
        return figure <= threshold if self.is_highest else figure >= threshold


COSINE_OPTIONS = (
    Option("mean", "--min-cosine-mean", "MIN_COSINE_MEAN", "mean"),
    Option("p1", "--min-cosine-p1", "MIN_COSINE_P1", "1st percentile"),
    Option("minimum", "--min-cosine-min", "MIN_COSINE_MIN", "minimum"),
)
"""For kinds that return vectors."""

SCORE_OPTIONS = (
    Option("rank_agreement", "--min-rank-agreement", "MIN_RANK_AGREEMENT", "Kendall's tau", TAU),
    Option("top_kept", "--min-top-kept", "MIN_TOP_KEPT", "share of best documents kept", SHARE),
    Option("error_rms", "--max-score-error", "MAX_SCORE_ERROR", "RMS error by spread", ERROR, is_highest=True),
)
"""For rerankers."""

OPTIONS = (*COSINE_OPTIONS, *SCORE_OPTIONS)
"""All thresholds can be set."""

AnyThresholds = TypeVar("AnyThresholds", Thresholds, ScoreThresholds)


@dataclass(frozen=True)
class ThresholdOverrides:
    """The thresholds that the user set, by their field."""

    values: Mapping[str, float] = field(default_factory=dict)

    def over(self, defaults: AnyThresholds) -> AnyThresholds:
        """Return ``defaults`` with these values in their place; those of other thresholds change nothing."""
        names = {one.name for one in dataclasses.fields(defaults)}
        return dataclasses.replace(defaults, **{name: value for name, value in self.values.items() if name in names})

    def require(self, options: Sequence[Option], what: str) -> None:
        """Raise ``InvalidOption`` if a threshold was set that is not of these ``options``, which ``what`` has."""
        for option in OPTIONS:
            if option.field in self.values and option not in options:
                own = ", ".join(one.flag for one in options)
                raise InvalidOption(f"{option.flag} does not apply to {what}, which has {own}")

    def build_arguments(self) -> dict[str, str]:
        """Return the same as arguments of a Dockerfile."""
        return {option.variable: repr(self.values[option.field]) for option in OPTIONS if option.field in self.values}


NO_OVERRIDES = ThresholdOverrides()
"""Every threshold is the precision's default."""


def add_options(parser: ArgumentParser) -> None:
    """Add an option for each threshold."""
    group = parser.add_argument_group(
        "fidelity",
        "A build compares the bundle's answers with those of the original model in fp32, on held-out inputs, and fails "
        "if a figure does not reach its threshold: cosines of vectors, or, for rerankers, the agreement of scores. "
        "Change a threshold deliberately. docs/fidelity.md lists the defaults.",
    )
    for option in OPTIONS:
        bound = "highest" if option.is_highest else "lowest"
        group.add_argument(
            option.flag,
            type=option.scale.read,
            metavar=option.scale.metavar,
            dest=_destination(option),
            help=f"{bound} {option.figure} that is accepted (default: depends on the precision)",
        )


def read_options(options: Namespace) -> ThresholdOverrides:
    """Return the thresholds that the parsed options set."""
    values = {option.field: getattr(options, _destination(option)) for option in OPTIONS}
    return ThresholdOverrides({name: value for name, value in values.items() if value is not None})


def _destination(option: Option) -> str:
    return option.variable.lower()
