"""Serves as ``python -m runtime`` does, and counts nothing for ``/metrics``: the difference is what counting costs."""

from __future__ import annotations

from runtime.main import main
from runtime.metrics.http_figures import HttpFigures
from runtime.metrics.work_figures import WorkFigures

COUNTING = {
    HttpFigures: ("answered", "refused", "sample", "publish"),
    WorkFigures: ("open", "publish", "computed", "ran", "queued", "dropped", "taken"),
}
"""What a request calls, and what shows the figures to others."""


def count_nothing() -> None:
    """Replace what counts, in this process and in those that it forks."""
    for kind, names in COUNTING.items():
        for name in names:
            setattr(kind, name, _nothing)


def _nothing(*args: object, **options: object) -> None:
    pass


if __name__ == "__main__":
    count_nothing()
    main()
