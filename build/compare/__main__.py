"""The command line of ``make compare``: a running container and a new bundle in, a verdict and an exit code out."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

from build.command_line import Choice, Parser, choice_of, positive, run
from build.compare.client import ANSWER_SECONDS, TOKEN_VARIABLE
from build.compare.compare import STAGES, CompareOptions, Strategy, compare
from build.compare.report import as_json, table
from build.compare.verdict import MIN_COSINE_P1, MIN_MIXED_OVERLAP, Verdict
from build.errors import InvalidOption
from build.progress import Progress
from manifest import Task

PROGRAM = "compare"
EXIT_CODES = {Verdict.DROP_IN: 0, Verdict.REIMPORT: 3}

TASKS: Choice[Task | None] = Choice({**{task.value: task for task in Task}, "none": None})
STRATEGIES = choice_of(Strategy)

DESCRIPTION = """\
Compare the vectors of a running container with those of a new bundle, on your own texts, before you swap containers.
Both embed every text, one after the other, as Weaviate would ask for it; neither is changed.
"""
EXAMPLES = f"""\
examples:
  make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt
  make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt TASK=query JSON=compared.json
  .venv/build/bin/python -m build.compare --old https://t2v.example/ --bundle bundles/mine --texts texts.txt
  {TOKEN_VARIABLE}=... make compare OLD=https://t2v.example BUNDLE=bundles/mine TEXTS=texts.txt

verdict:
  drop in           old and new vectors can share one index: the 1st percentile of the cosines is at least
                    {MIN_COSINE_P1}, and new vectors find {MIN_MIXED_OVERLAP:.0%} of the neighbors in the old index
  re-import needed  they cannot; the reason is found by testing hypotheses about the old container on the bundle

exit status:
  0 drop in, 3 re-import needed, 1 an error, 2 wrong arguments, 130 interrupted; make turns all but 0 into 2

{TOKEN_VARIABLE} is the old container's bearer token, if it needs one. docs/compare.md explains the figures.
"""


def main(arguments: list[str]) -> int:
    """Run the comparison; the table goes to standard output, everything else to standard error."""
    options = _parser().read(arguments)
    return run(PROGRAM, lambda: _compare(options), "nothing was changed")


def _compare(given: Namespace) -> int:
    if given.json is not None and not given.json.parent.is_dir():
        raise InvalidOption(f"{given.json} cannot be written: {given.json.parent} is not a directory")
    options = CompareOptions(
        old=given.old,
        token=os.environ.get(TOKEN_VARIABLE),
        bundle=given.bundle,
        texts=given.texts,
        task=given.task,
        strategy=given.pooling_strategy,
        seconds=given.timeout,
    )
    comparison = compare(options, Progress(STAGES))
    print(table(options, comparison))
    if given.json is not None:
        given.json.write_text(as_json(options, comparison), encoding="utf-8")
    return EXIT_CODES[comparison.judgment.verdict]


def _parser() -> Parser:
    parser = Parser(PROGRAM, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--old", required=True, metavar="URL", help="the running container: any that answers POST /vectors"
    )
    parser.add_argument(
        "--bundle",
        required=True,
        type=Path,
        metavar="DIR",
        help="the new bundle (served locally during the comparison)",
    )
    parser.add_argument(
        "--texts", required=True, type=Path, metavar="FILE", help="your own texts: UTF-8, one per line, a few hundred"
    )
    parser.add_argument(
        "--task",
        type=TASKS,
        default=Task.PASSAGE,
        metavar=TASKS.metavar,
        help="the task_type to send: passage as in imports, query as in searches, or none (default: passage)",
    )
    parser.add_argument(
        "--pooling-strategy",
        type=STRATEGIES,
        default=Strategy.MASKED_MEAN,
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
