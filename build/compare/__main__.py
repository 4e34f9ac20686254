"""The command line of ``make compare``: a running container and a new bundle in, a verdict and an exit code out."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS, Namespace
from dataclasses import dataclass
from pathlib import Path

from build.command_line import Choice, Parser, choice_of, positive, run
from build.compare.client import ANSWER_SECONDS, TOKEN_VARIABLE
from build.compare.compare import STAGES, CompareOptions, Strategy, compare
from build.compare.report import as_json, table
from build.compare.scores.compare import SCORE_STAGES, ScoreOptions, compare_scores
from build.compare.scores.report import score_table, scores_as_json
from build.compare.scores.verdict import MIN_RANK_AGREEMENT, MIN_TOP_KEPT
from build.compare.verdict import MIN_COSINE_P1, MIN_MIXED_OVERLAP, Verdict
from build.errors import InvalidOption
from build.progress import Progress
from manifest import Kind, Task, read_manifest

PROGRAM = "compare"
EXIT_CODES = {Verdict.DROP_IN: 0, Verdict.REIMPORT: 3, Verdict.OTHER_RANKINGS: 3}

TASKS: Choice[Task | None] = Choice({**{task.value: task for task in Task}, "none": None})
STRATEGIES = choice_of(Strategy)

DESCRIPTION = """\
Compare the vectors of a running container with those of a new bundle, on your own texts, before you swap containers.
Both embed every text, one after the other, as Weaviate would ask for it; neither is changed. If the bundle is a
reranker, both score the documents of your own queries.
"""
EXAMPLES = f"""\
examples:
  make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt
  make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt TASK=query JSON=compared.json
  .venv/build/bin/python -m build.compare --old https://t2v.example/ --bundle bundles/mine --texts texts.txt
  {TOKEN_VARIABLE}=... make compare OLD=https://t2v.example BUNDLE=bundles/mine TEXTS=texts.txt
  make compare OLD=http://localhost:8080 BUNDLE=bundles/my-reranker TEXTS=queries.txt

verdict:
  drop in           old and new vectors can share one index: the 1st percentile of the cosines is at least
                    {MIN_COSINE_P1}, and new vectors find {MIN_MIXED_OVERLAP:.0%} of the neighbors in the old index
  re-import needed  they cannot; the reason is found by testing hypotheses about the old container on the bundle
                    of rerankers:
  drop in           both put documents into the same order: Kendall's tau is at least {MIN_RANK_AGREEMENT} on average,
                    and {MIN_TOP_KEPT:.0%} of the queries keep their best document
  rankings differ   they do not

exit status:
  0 drop in, 3 re-import needed or rankings differ, 1 an error, 2 wrong arguments, 130 interrupted; make turns all but
  0 into 2

{TOKEN_VARIABLE} is the old container's bearer token, if it needs one. docs/compare.md explains the figures.
"""


def main(arguments: list[str]) -> int:
    """Run the comparison; the table goes to standard output, everything else to standard error."""
    options = _parser().read(arguments)
    return run(PROGRAM, lambda: _compare(options), "nothing was changed")


def _compare(given: Namespace) -> int:
    if given.json is not None and not given.json.parent.is_dir():
        raise InvalidOption(f"{given.json} cannot be written: {given.json.parent} is not a directory")
    is_reranker = read_manifest(given.bundle).kind is Kind.RERANK
    result = _compare_scores(given) if is_reranker else _compare_vectors(given)
    print(result.table)
    if given.json is not None:
        given.json.write_text(result.json, encoding="utf-8")
    return EXIT_CODES[result.verdict]


@dataclass(frozen=True)
class Result:
    """What a comparison has come to, for people and for programs."""

    verdict: Verdict
    table: str
    json: str


def _compare_vectors(given: Namespace) -> Result:
    options = CompareOptions(
        old=given.old,
        token=os.environ.get(TOKEN_VARIABLE),
        bundle=given.bundle,
        texts=given.texts,
        task=getattr(given, "task", Task.PASSAGE),
        strategy=getattr(given, "pooling_strategy", Strategy.MASKED_MEAN),
        seconds=given.timeout,
    )
    comparison = compare(options, Progress(STAGES))
    return Result(comparison.judgment.verdict, table(options, comparison), as_json(options, comparison))


def _compare_scores(given: Namespace) -> Result:
    for name in ("task", "pooling_strategy"):
        if hasattr(given, name):
            option = f"--{name.replace('_', '-')}"
            raise InvalidOption(f"{option} must not be given: {given.bundle} is a reranker, whose requests have none")
    options = ScoreOptions(
        old=given.old,
        token=os.environ.get(TOKEN_VARIABLE),
        bundle=given.bundle,
        queries=given.texts,
        seconds=given.timeout,
    )
    comparison = compare_scores(options, Progress(SCORE_STAGES))
    return Result(comparison.judgment.verdict, score_table(options, comparison), scores_as_json(options, comparison))


def _parser() -> Parser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--old",
        required=True,
        metavar="URL",
        help="the running container: any that answers POST /vectors, or POST /rerank",
    )
    parser.add_argument(
        "--bundle",
        required=True,
        type=Path,
        metavar="DIR",
        help="the new bundle (served locally during the comparison)",
    )
    parser.add_argument(
        "--texts",
        required=True,
        type=Path,
        metavar="FILE",
        help="your own texts: UTF-8, one per line, a few hundred; for rerankers, queries with documents below each",
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
