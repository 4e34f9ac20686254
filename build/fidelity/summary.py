"""The rows about fidelity in the table at the end of a build. Pure functions."""

from __future__ import annotations

from build.fidelity.report import ClassScores
from build.fidelity.thresholds import Thresholds
from manifest import CosineFigures

Rows = tuple[tuple[str, str], ...]


def cosine_rows(found: CosineFigures, required: Thresholds) -> Rows:
    """What was measured of vectors, and what was required."""
    return (
        (
            "fidelity",
            f"cosine to the fp32 original on {found.count} held-out texts: mean {found.mean:.6f}, "
            f"1st percentile {found.p1:.6f}, minimum {found.minimum:.6f}",
        ),
        ("required", f"mean {required.mean:g}, 1st percentile {required.p1:g}, minimum {required.minimum:g}: passed"),
    )


def score_rows(measured: ClassScores) -> Rows:
    """What was measured of scores, and what was required."""
    found, required = measured.figures, measured.thresholds
    return (
        (
            "fidelity",
            f"logits beside the fp32 original's on {found.count} held-out pairs: Kendall's tau "
            f"{found.rank_agreement:.4f}, best documents kept {found.top_kept:.1%}, RMS error {found.error_rms:.2%} of "
            "the spread",
        ),
        (
            "required",
            f"Kendall's tau {required.rank_agreement:g}, best documents kept {required.top_kept:.0%}, RMS error "
            f"{required.error_rms:.2%}: passed",
        ),
    )
