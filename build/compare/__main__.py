"""The command line of ``make compare``: a running container and a new one in, a verdict and an exit code out."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from build.command_line import Choice, Parser, choice_of, positive, run
from build.compare.client import ANSWER_SECONDS, RERANK, VECTORIZE, VECTORS, Container, Role
from build.compare.compare import STAGES, CompareOptions, Strategy, compare
from build.compare.report import as_json, table
from build.compare.scores.compare import SCORE_STAGES, ScoreOptions, compare_scores
from build.compare.scores.report import score_table, scores_as_json
from build.compare.scores.verdict import MIN_RANK_AGREEMENT, MIN_TOP_KEPT
from build.compare.sides import NewSide, route_of
from build.compare.towers.compare import TOWER_STAGES, TowerOptions, compare_towers
from build.compare.towers.report import tower_table, towers_as_json
from build.compare.verdict import MIN_COSINE_P1, MIN_MIXED_OVERLAP, Verdict
from build.errors import InvalidOption
from build.progress import Progress
from manifest import Task

PROGRAM = "compare"
OLD_BY_DEFAULT = "http://localhost:8080"
"""Where Weaviate's own containers answer, unless they are told otherwise."""

EXIT_CODES = {Verdict.DROP_IN: 0, Verdict.REIMPORT: 3, Verdict.OTHER_RANKINGS: 3}

TASKS: Choice[Task | None] = Choice({**{task.value: task for task in Task}, "none": None})
STRATEGIES = choice_of(Strategy)

DESCRIPTION = """\
Compare the vectors of a running container with those of a new bundle, or of another running container, on your own
texts, before you swap containers. Both embed every text, one after the other, as Weaviate would ask for it; neither is
changed. If the new one embeds images as well, both do, and lengths are compared like directions. If it is a reranker,
both score the documents of your own queries.
"""
EXAMPLES = f"""\
examples:
  make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt
  make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt TASK=query JSON=compared.json
  .venv/build/bin/python -m build.compare --old https://t2v.example/ --bundle bundles/mine --texts texts.txt
  OLD_TOKEN=... make compare OLD=https://t2v.example BUNDLE=bundles/mine TEXTS=texts.txt
  make compare OLD=http://localhost:8080 BUNDLE=bundles/my-reranker TEXTS=queries.txt
  make compare OLD=http://localhost:8080 BUNDLE=bundles/my-clip TEXTS=captions.txt IMAGES=photos
  make compare OLD=http://localhost:8080 NEW=http://localhost:8081 TEXTS=texts.txt
  python3 -m build.compare --new http://localhost:8081 --texts texts.txt    (in any Python with numpy)

verdict:
  drop in           old and new vectors can share one index: the 1st percentile of the cosines is at least
                    {MIN_COSINE_P1}, and new vectors find {MIN_MIXED_OVERLAP:.0%} of the neighbors in the old index
  re-import needed  they cannot; the reason is found by testing hypotheses about the old container on the bundle
                    of texts and images, each on its own:
  drop in           the same, and new vectors are about as long as old ones
                    of rerankers:
  drop in           both put documents into the same order: Kendall's tau is at least {MIN_RANK_AGREEMENT} on average,
                    and {MIN_TOP_KEPT:.0%} of the queries keep their best document
  rankings differ   they do not

exit status:
  0 drop in, 3 re-import needed or rankings differ, 1 an error, 2 wrong arguments, 130 interrupted; make turns all but
  0 into 2

OLD_TOKEN and NEW_TOKEN are the containers' bearer tokens, if they need one. docs/compare.md explains the figures.
"""


def main(arguments: list[str]) -> int:
    """Run the comparison; the table goes to standard output, everything else to standard error."""
    parser = _parser()
    options = parser.read(arguments)
    if options.new and options.bundle:
        parser.error("--new cannot be combined with --bundle")
    needed = ("texts",) if options.new else ("old", "bundle", "texts")
    if missing := [f"--{name}" for name in needed if not getattr(options, name)]:
        parser.error(f"the following arguments are required: {', '.join(missing)}")
    return run(PROGRAM, lambda: _compare(options), "nothing was changed")


def _compare(given: Namespace) -> int:
    if given.json is not None and not given.json.parent.is_dir():
        raise InvalidOption(f"{given.json} cannot be written: {given.json.parent} is not a directory")
    old = _container(given.old or OLD_BY_DEFAULT, Role.OLD)
    new = _container(given.new, Role.NEW) if given.new else given.bundle
    result = BY_ROUTE[route_of(new, given.timeout)](given, old, new)
    print(result.table)
    if given.json is not None:
        given.json.write_text(result.json, encoding="utf-8")
    return EXIT_CODES[result.verdict]


def _container(address: str, role: Role) -> Container:
    return Container(address, os.environ.get(role.token_variable), role)


@dataclass(frozen=True)
class Result:
    """What a comparison has come to, for people and for programs."""

    verdict: Verdict
    table: str
    json: str


def _compare_vectors(given: Namespace, old: Container, new: NewSide) -> Result:
    _refuse(given, ("images",), f"{new} embeds no images")
    options = CompareOptions(
        old=old,
        new=new,
        texts=given.texts,
        task=getattr(given, "task", Task.PASSAGE),
        strategy=getattr(given, "pooling_strategy", Strategy.MASKED_MEAN),
        seconds=given.timeout,
    )
    comparison = compare(options, Progress(STAGES))
    return Result(comparison.judgment.verdict, table(options, comparison), as_json(options, comparison))


def _compare_scores(given: Namespace, old: Container, new: NewSide) -> Result:
    _refuse(given, ("task", "pooling_strategy", "images"), f"{new} is a reranker, whose requests have none")
    options = ScoreOptions(
        old=old,
        new=new,
        queries=given.texts,
        seconds=given.timeout,
    )
    comparison = compare_scores(options, Progress(SCORE_STAGES))
    return Result(comparison.judgment.verdict, score_table(options, comparison), scores_as_json(options, comparison))


def _compare_towers(given: Namespace, old: Container, new: NewSide) -> Result:
    _refuse(given, ("task", "pooling_strategy"), f"{new} embeds texts and images, whose requests have none")
    options = TowerOptions(
        old=old,
        new=new,
        texts=given.texts,
        images=getattr(given, "images", None),
        seconds=given.timeout,
    )
    comparison = compare_towers(options, Progress(TOWER_STAGES))
    return Result(comparison.judgment.verdict, tower_table(options, comparison), towers_as_json(options, comparison))


BY_ROUTE = {VECTORS: _compare_vectors, RERANK: _compare_scores, VECTORIZE: _compare_towers}


def _refuse(given: Namespace, names: Sequence[str], why: str) -> None:
    """Raise ``InvalidOption`` if one of these was given."""
    for name in names:
        if hasattr(given, name):
            raise InvalidOption(f"--{name.replace('_', '-')} must not be given: {why}")


def _parser() -> Parser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--old",
        metavar="URL",
        help="the running container: any that answers POST /vectors, /vectorize or /rerank, whichever the new one does "
        f"(with --new: {OLD_BY_DEFAULT})",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="the new bundle (served locally during the comparison)",
    )
    parser.add_argument("--new", metavar="URL", help="in place of --bundle: the new container, which runs already")
    parser.add_argument(
        "--texts",
        type=Path,
        metavar="FILE",
        help="your own texts: UTF-8, one per line, a few hundred; for rerankers, queries with documents below each",
    )
    parser.add_argument(
        "--images",
        type=Path,
        default=SUPPRESS,
        metavar="DIR",
        help="for models of texts and images: a directory with images of yours (default: drawings of this project)",
    )
    parser.add_argument(
        "--task",
        type=TASKS,
        default=SUPPRESS,
        metavar=TASKS.metavar,
        help="the task_type to send: passage as in imports, query as in searches, or none (default: passage)",
    )
    parser.add_argument(
        "--pooling-strategy",
        type=STRATEGIES,
        default=SUPPRESS,
        metavar=STRATEGIES.metavar,
        help="your collection's poolingStrategy (default: masked_mean, Weaviate's own default)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all results to this file")
    parser.add_argument(
        "--timeout",
        type=positive(float),
        default=ANSWER_SECONDS,
        metavar="SECONDS",
        help=f"the limit for one answer (default: {ANSWER_SECONDS:g})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
