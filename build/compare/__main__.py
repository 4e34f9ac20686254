"""The command line of ``make compare``: a running container and a new bundle in, a verdict and an exit code out."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from build.compare.client import ANSWER_SECONDS, TOKEN_VARIABLE
from build.compare.compare import STAGES, CompareOptions, Strategy, compare
from build.compare.report import as_json, table
from build.compare.verdict import MIN_COSINE_P1, MIN_MIXED_OVERLAP, Verdict
from build.errors import BuildError
from build.progress import Progress
from manifest import BundleError, Task

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_CODES = {Verdict.DROP_IN: 0, Verdict.REIMPORT: 3}
NO_TASK = "none"

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
    options = _parser().parse_args(arguments)
    given = CompareOptions(
        old=options.old,
        token=os.environ.get(TOKEN_VARIABLE),
        bundle=options.bundle,
        texts=options.texts,
        task=None if options.task == NO_TASK else Task(options.task),
        strategy=options.pooling_strategy,
        seconds=options.timeout,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    if options.json is not None and not options.json.parent.is_dir():
        return _fail(f"--json: {options.json.parent} is not a directory", EXIT_FAILED)
    try:
        comparison = compare(given, Progress(STAGES))
        print(table(given, comparison))
        if options.json is not None:
            options.json.write_text(as_json(given, comparison), encoding="utf-8")
    except KeyboardInterrupt:
        return _fail("interrupted: nothing was changed", EXIT_INTERRUPTED)
    except (BuildError, BundleError) as error:
        return _fail(str(error), EXIT_FAILED)
    except OSError as error:
        return _fail(f"{error.strerror or error}: {error.filename or 'a file'}", EXIT_FAILED)
    return EXIT_CODES[comparison.judgment.verdict]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="compare",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
        choices=[*Task, NO_TASK],
        default=Task.PASSAGE,
        help="the task_type to send: passage as in imports, query as in searches, or none (default: passage)",
    )
    parser.add_argument(
        "--pooling-strategy",
        type=Strategy,
        choices=list(Strategy),
        default=Strategy.MASKED_MEAN,
        help="your collection's poolingStrategy (default: masked_mean, Weaviate's own default)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all results to this file")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=ANSWER_SECONDS,
        metavar="SECONDS",
        help=f"the limit for one answer (default: {ANSWER_SECONDS:g})",
    )
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} must be more than 0")
    return value


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str, status: int) -> int:
    print(f"compare: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
