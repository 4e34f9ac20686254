"""The command line of ``make compare``: a running container and a new bundle in, a verdict and an exit code out."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from build.compare.client import ANSWER_SECONDS, TOKEN_VARIABLE
from build.compare.compare import STAGES, Order, Strategy, compare
from build.compare.report import as_json, table
from build.compare.verdict import MIN_COSINE_P1, MIN_MIXED_OVERLAP, Verdict
from build.errors import BuildError
from build.progress import Progress
from manifest import BundleError, Task

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXITS = {Verdict.DROP_IN: 0, Verdict.REIMPORT: 3}
NO_TASK = "none"

DESCRIPTION = """\
Before you swap containers: how far are the running one's vectors from a new bundle's, on your own texts?
Both are asked for every text, one after the other, as Weaviate asks; nothing is changed in either.
"""
EXAMPLES = f"""\
examples:
  make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt
  make compare OLD=http://localhost:8080 BUNDLE=bundles/mine TEXTS=texts.txt TASK=query JSON=compared.json
  .venv/build/bin/python -m build.compare --old https://t2v.example/ --bundle bundles/mine --texts texts.txt
  {TOKEN_VARIABLE}=... make compare OLD=https://t2v.example BUNDLE=bundles/mine TEXTS=texts.txt

verdict:
  drop in           new vectors can search among the old ones, and be added to them: 1st percentile of the cosines at
                    least {MIN_COSINE_P1}, and {MIN_MIXED_OVERLAP:.0%} of the neighbours found in the old index
  re-import needed  they cannot; what the old container does otherwise is found out by asking the bundle in other ways

status:
  0 drop in, 3 re-import needed, 1 an error, 2 wrong arguments, 130 interrupted; make turns all but 0 into 2

{TOKEN_VARIABLE} holds the old container's bearer token where it wants one. docs/compare.md explains the figures.
"""


def main(arguments: list[str]) -> int:
    """Compare what the arguments say; the table goes to standard output, all else to standard error."""
    options = _parser().parse_args(arguments)
    order = Order(
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
        outcome = compare(order, Progress(STAGES))
        print(table(order, outcome))
        if options.json is not None:
            options.json.write_text(as_json(order, outcome), encoding="utf-8")
    except KeyboardInterrupt:
        return _fail("interrupted: nothing was changed", EXIT_INTERRUPTED)
    except (BuildError, BundleError) as error:
        return _fail(str(error), EXIT_FAILED)
    except OSError as error:
        return _fail(f"{error.strerror or error}: {error.filename or 'a file'}", EXIT_FAILED)
    return EXITS[outcome.judgement.verdict]


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
        "--bundle", required=True, type=Path, metavar="DIR", help="the new bundle, which is served here for the while"
    )
    parser.add_argument(
        "--texts", required=True, type=Path, metavar="FILE", help="your own texts: UTF-8, one a line, some hundreds"
    )
    parser.add_argument(
        "--task",
        choices=[*Task, NO_TASK],
        default=Task.PASSAGE,
        help="the task_type to send: passage as in imports, query as in searches, or none at all (default: passage)",
    )
    parser.add_argument(
        "--pooling-strategy",
        type=Strategy,
        choices=list(Strategy),
        default=Strategy.MASKED_MEAN,
        help="the poolingStrategy of your collection (default: masked_mean, as Weaviate's)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found out there, too")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=ANSWER_SECONDS,
        metavar="SECONDS",
        help=f"how long one answer may take (default: {ANSWER_SECONDS:g})",
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
