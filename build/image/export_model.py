"""Runs quantize.py in the Dockerfiles' export stage, offline: build arguments in, the bundle at /bundle out."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Mapping

from build.command_line import boolean, fail
from build.errors import InvalidOption
from build.fidelity.thresholds import OPTIONS

PROGRAM = "quantize.py"
BUNDLE = "/bundle"

VALUES = {
    "TARGET": "--arch",
    "IMAGE_MODEL": "--image-model",
    "PRECISION": "--precision",
    "REVISION": "--revision",
    "IMAGE_REVISION": "--image-revision",
    "CODE_REVISION": "--code-revision",
    **{option.variable: option.flag for option in OPTIONS},
}
"""Build arguments that are the value of an option."""

SWITCHES = {"TRUST_REMOTE_CODE": "--trust-remote-code", "ALLOW_PICKLE": "--allow-pickle"}
"""Build arguments that turn an option on or off."""


def main(arguments: Mapping[str, str]) -> int:
    """Make the bundle, and print the summary without the lines about paths, which only mean something in this stage."""
    try:
        options = quantize_options(arguments)
    except InvalidOption as error:
        return fail(PROGRAM, str(error))
    result = subprocess.run([sys.executable, PROGRAM, *options], stdout=subprocess.PIPE, text=True)
    for line in result.stdout.splitlines():
        if BUNDLE not in line:
            print(line)
    return result.returncode


def quantize_options(arguments: Mapping[str, str]) -> list[str]:
    """The command line of quantize.py for these build arguments; an empty one counts as not given.

    Raises ``InvalidOption``.
    """
    values = [f"{flag}={arguments[name]}" for name, flag in VALUES.items() if arguments.get(name)]
    switches = [flag for name, flag in SWITCHES.items() if is_on(name, arguments.get(name, ""))]
    return [*values, *switches, f"--output={BUNDLE}", "--", arguments["MODEL"]]


def is_on(name: str, text: str) -> bool:
    """Whether a build argument turns its option on. Raises ``InvalidOption``."""
    try:
        return bool(text) and boolean(text)
    except ArgumentTypeError as error:
        raise InvalidOption(f"{name} {error}") from None


if __name__ == "__main__":
    sys.exit(main(os.environ))
