"""Measures what one run takes besides the weights: ``python -m bench.models.working_memory --help``.

The bundle's manifest states the figure that the server sizes its windows by; the measured peak should be below it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from bench.command_line import EXIT_FAILED, fail, parser_for, positive
from bench.environment import RUNTIME_ENVIRONMENT, python_in
from bench.errors import BenchError, InvalidOption, ModelFailed
from bench.report.tables import table
from build.paths import ROOT
from manifest import BundleError, Encoder, TextModel, read_manifest

LENGTHS = (128, 512, 2048)
MEGABYTE = 1e6

DESCRIPTION = "Measure what one run of a bundle's graph takes besides the weights, by the text's length."
EPILOG = """\
Prints a row for each length: MB at the peak of the run, MB that the process keeps afterwards, and MB as the bundle's
manifest states it. The server sizes its windows by the stated figure; the peak should be below it.

examples:
  .venv/build/bin/python -m bench.models.working_memory bundles/mine
  .venv/build/bin/python -m bench.models.working_memory bundles/mine 128 512 8192
"""


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        encoder = read_manifest(options.bundle).section_as(TextModel).main_encoder
        lengths = options.tokens or [tokens for tokens in LENGTHS if tokens <= encoder.max_tokens]
        rows = _rows(options.bundle, encoder, lengths)
    except (BundleError, BenchError) as error:
        return fail(str(error), EXIT_FAILED)
    print(table(("tokens", "MB at the peak", "MB kept", "MB as stated"), rows, left=0))
    return 0


def _rows(bundle: Path, encoder: Encoder, lengths: list[int]) -> list[list[str]]:
    if too_long := [tokens for tokens in lengths if tokens > encoder.max_tokens]:
        raise InvalidOption(f"a text of the model must have at most {encoder.max_tokens} tokens, not {too_long[0]}")
    rows = []
    for tokens in lengths:
        peak, kept = _measure(bundle, tokens)
        figures = (peak, kept, encoder.memory.of(tokens))
        rows.append([str(tokens), *(f"{figure / MEGABYTE:.1f}" for figure in figures)])
    return rows


def _measure(bundle: Path, tokens: int) -> tuple[int, int]:
    """In a process of its own for each length. Raises ``ModelFailed``."""
    python = python_in(RUNTIME_ENVIRONMENT)
    command = [str(python), "-m", "bench.models.engines.peak_memory", str(bundle.absolute()), str(tokens)]
    environment = {"PATH": os.defpath}
    try:
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ModelFailed(f"{python} cannot be started ({error}): run `make setup`") from None
    if ran.returncode:
        lines = ran.stderr.strip().splitlines()
        raise ModelFailed(f"{tokens} tokens: {lines[-1] if lines else f'status {ran.returncode}'}")
    peak, kept = ran.stdout.split()
    return int(peak), int(kept)


def _parser() -> argparse.ArgumentParser:
    parser = parser_for("bench.models.working_memory", DESCRIPTION, EPILOG)
    parser.add_argument("bundle", type=Path, help="a bundle that quantize.py built")
    parser.add_argument(
        "tokens",
        type=positive(int),
        nargs="*",
        help=f"lengths of texts (default: those of {', '.join(map(str, LENGTHS))} that the model accepts)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
