"""The lowest cosines that a bundle may have, and the command-line options that set them."""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Thresholds:
    """The lowest mean, 1st percentile and minimum of cosines to the original that a bundle may have."""

    mean: float
    p1: float
    minimum: float


@dataclass(frozen=True)
class Option:
    """One threshold as an option."""

    field: str
    """Its field in ``Thresholds``."""

    flag: str

    variable: str
    """Its name in make and in the Dockerfiles."""

    figure: str
    """The figure that it bounds, in words."""


OPTIONS = (
    Option("mean", "--min-cosine-mean", "MIN_COSINE_MEAN", "mean"),
    Option("p1", "--min-cosine-p1", "MIN_COSINE_P1", "1st percentile"),
    Option("minimum", "--min-cosine-min", "MIN_COSINE_MIN", "minimum"),
)
"""All thresholds can be set."""


@dataclass(frozen=True)
class ThresholdOverrides:
    """The thresholds that the user set, by their field in ``Thresholds``."""

    values: Mapping[str, float] = field(default_factory=dict)

    def over(self, defaults: Thresholds) -> Thresholds:
        """Return ``defaults`` with these values in their place."""
        return dataclasses.replace(defaults, **self.values)

    def build_arguments(self) -> dict[str, str]:
        """Return the same as arguments of a Dockerfile."""
        return {option.variable: repr(self.values[option.field]) for option in OPTIONS if option.field in self.values}


NO_OVERRIDES = ThresholdOverrides()
"""Every threshold is the precision's default."""


def add_options(parser: ArgumentParser) -> None:
    """Add the three options, each of which takes a cosine."""
    group = parser.add_argument_group(
        "fidelity",
        "A build compares the bundle's vectors with those of the original model in fp32, on held-out texts, and fails "
        "if a cosine is below its threshold. Lower a threshold deliberately: 0 accepts almost anything. "
        "docs/fidelity.md lists the defaults of each precision.",
    )
    for option in OPTIONS:
        group.add_argument(
            option.flag,
            type=_cosine,
            metavar="COSINE",
            dest=_destination(option),
            help=f"lowest {option.figure} that is accepted (default: depends on the precision)",
        )


def read_options(options: Namespace) -> ThresholdOverrides:
    """Return the thresholds that the parsed options set."""
    values = {option.field: getattr(options, _destination(option)) for option in OPTIONS}
    return ThresholdOverrides({name: value for name, value in values.items() if value is not None})


def _destination(option: Option) -> str:
    return option.variable.lower()


def _cosine(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -1 <= value <= 1:
        raise ArgumentTypeError(f"must be a cosine, a number from -1 to 1 such as 0.98, not {text!r}")
    return value
