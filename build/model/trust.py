"""What the user allows a model to bring besides data: by default, nothing."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError, Namespace
from dataclasses import dataclass

from build.command_line import Parser
from build.errors import InvalidOption

COMMIT = re.compile("[0-9a-f]{40}")
"""The hash of a commit, as git spells it."""


@dataclass(frozen=True)
class Trust:
    """What a model may bring."""

    remote_code: bool = False
    """Python code, which is run."""

    pickle: bool = False
    """Weights in pickles, which PyTorch reads as data only."""

    code_revision: str | None = None
    """The commit of the code, if that is in another repository; None: the newest."""

    @property
    def use_safetensors(self) -> bool | None:
        """The argument of transformers: None uses safetensors where they exist, and pickles otherwise."""
        return None if self.pickle else True


NO_TRUST = Trust()


def add_options(parser: Parser) -> None:
    """Add the options that say what a model may bring."""
    parser.add_switch("--trust-remote-code", help="run Python code that comes with the model; read it first")
    parser.add_argument(
        "--code-revision",
        type=_commit,
        metavar="COMMIT",
        help="commit of that code, if it is in another repository on the hub (default: the newest)",
    )
    parser.add_switch(
        "--allow-pickle",
        help="read weights from pytorch_model.bin if there is no model.safetensors (as data; no code is run)",
    )


def read_options(options: Namespace) -> Trust:
    """Return what the parsed options allow. Raises ``InvalidOption`` for a commit of code that may not run."""
    if options.code_revision and not options.trust_remote_code:
        raise InvalidOption(
            f"--code-revision {options.code_revision} needs --trust-remote-code, which lets a model's code run: "
            "read the code, and if you trust it, pass both"
        )
    return Trust(options.trust_remote_code, options.allow_pickle, options.code_revision)


def _commit(text: str) -> str:
    if not COMMIT.fullmatch(text.lower()):
        raise ArgumentTypeError(f"must be a commit of 40 hexadecimal digits, not {text!r}")
    return text.lower()
