"""Owns the lowest cosines that a bundle may have, and the options of command lines that set them."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """The lowest mean, 1st percentile and minimum of cosines to the original that a bundle may have."""

    mean: float
    p1: float
    minimum: float


@dataclass(frozen=True)
class Option:
    """One threshold as an option: ``field`` of ``Thresholds``, and ``figure``, what it bounds in words."""

    field: str
    flag: str
    variable: str
    figure: str


OPTIONS = (
    Option("mean", "--min-cosine-mean", "MIN_COSINE_MEAN", "mean"),
    Option("p1", "--min-cosine-p1", "MIN_COSINE_P1", "1st percentile"),
    Option("minimum", "--min-cosine-min", "MIN_COSINE_MIN", "minimum"),
)
"""``variable`` is what make and the Dockerfiles call it."""


@dataclass(frozen=True)
class Asked:
    """Thresholds that somebody set; None: the precision's default."""

    mean: float | None = None
    p1: float | None = None
    minimum: float | None = None

    def over(self, defaults: Thresholds) -> Thresholds:
        """``defaults`` with what was asked for in their place."""
        return Thresholds(
            mean=defaults.mean if self.mean is None else self.mean,
            p1=defaults.p1 if self.p1 is None else self.p1,
            minimum=defaults.minimum if self.minimum is None else self.minimum,
        )

    def build_arguments(self) -> dict[str, str]:
        """The same as arguments of a Dockerfile."""
        values = {option.variable: getattr(self, option.field) for option in OPTIONS}
        return {variable: repr(value) for variable, value in values.items() if value is not None}


DEFAULTS = Asked()


def add_options(parser: ArgumentParser) -> None:
    """The three options, each of which takes a cosine."""
    group = parser.add_argument_group(
        "fidelity",
        "A build compares the bundle's vectors with the original's in fp32, on held-out texts, and fails below these "
        "cosines. Lower one knowingly: 0 accepts nearly anything. docs/fidelity.md has the defaults of each precision.",
    )
    for option in OPTIONS:
        group.add_argument(
            option.flag,
            type=_cosine,
            metavar="COSINE",
            dest=_destination(option),
            help=f"the lowest {option.figure} (default: by precision)",
        )


def read_options(options: Namespace) -> Asked:
    """What the parsed options ask for."""
    return Asked(**{option.field: getattr(options, _destination(option)) for option in OPTIONS})


def _destination(option: Option) -> str:
    return option.variable.lower()


def _cosine(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -1 <= value <= 1:
        raise ArgumentTypeError(f"{text!r} is not a cosine: give a number from -1 to 1, such as 0.98")
    return value
