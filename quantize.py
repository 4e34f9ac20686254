#!/usr/bin/env python3
"""Turns a Hugging Face embedding model into a bundle: ``./quantize.py --help``. Runs on any Python 3."""

import os
import sys

ENVIRONMENT = os.path.join(os.path.dirname(os.path.realpath(__file__)), ".venv", "build")
"""The environment with the build's packages, which `make setup` creates."""

STARTED_AGAIN = "CPU2VEC_STARTED_AGAIN"
"""An environment variable that keeps the program from starting itself again and again."""


def start_in_environment() -> None:
    """Start the program again with the build environment's Python, where that exists and is another one."""
    python = os.path.join(ENVIRONMENT, "bin", "python")
    if os.environ.pop(STARTED_AGAIN, "") or os.path.realpath(sys.prefix) == os.path.realpath(ENVIRONMENT):
        return
    if os.access(python, os.X_OK):
        os.environ[STARTED_AGAIN] = "1"
        os.execv(python, [python, *sys.argv])


def main() -> int:
    start_in_environment()
    from build.host.check import python_problem

    problem = python_problem()
    if problem:
        print("quantize.py: " + problem, file=sys.stderr)
        return 1
    from build.cli import main as build_main

    return build_main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
