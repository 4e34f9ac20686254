"""What the build's command lines share: how options are read, how a run ends, how messages are worded."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from types import FrameType
from typing import Generic, NoReturn, TypeVar

from build.errors import BuildError
from manifest import MACHINES, BundleError, Target

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

MAKE_TARGET = "MAKE_TARGET"
"""The environment variable in which the Makefile names the target that a command runs for."""

TRUE = ("1", "true", "yes", "on")
FALSE = ("0", "false", "no", "off")

ELLIPSIS = "…"

Value = TypeVar("Value")
Member = TypeVar("Member", bound=StrEnum)
Number = TypeVar("Number", int, float)


# NOTE: eq=False keeps it hashable, which argparse needs.
@dataclass(frozen=True, eq=False)
class Choice(Generic[Value]):
    """The type of an option that accepts one of several words."""

    words: Mapping[str, Value]
    """What each word means. Usage texts and messages list them."""

    aliases: Mapping[str, Value] = field(default_factory=dict)
    """Other spellings, which are accepted and not listed."""

    def __call__(self, text: str) -> Value:
        known = {**self.aliases, **self.words}
        if text not in known:
            raise argparse.ArgumentTypeError(f"must be {alternatives(self.words)}, not {text!r}")
        return known[text]

    @property
    def metavar(self) -> str:
        """The words as a usage text shows them."""
        return f"{{{','.join(self.words)}}}"


def choice_of(kind: type[Member]) -> Choice[Member]:
    """Accept the values of an enumeration."""
    return Choice({member.value: member for member in kind})


ARCHITECTURES = Choice({target.value: target for target in Target}, MACHINES)


def boolean(text: str) -> bool:
    """Read the value of a switch."""
    if text.lower() not in TRUE + FALSE:
        raise argparse.ArgumentTypeError(f"must be {alternatives(TRUE + FALSE)}, not {text!r}")
    return text.lower() in TRUE


def positive(kind: type[Number]) -> Callable[[str], Number]:
    """Accept numbers above 0."""

    def parse(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = kind(0)
        if not 0 < value < 1e6:
            noun = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"must be a {noun} greater than 0, not {text!r}")
        return value

    return parse


class Parser(argparse.ArgumentParser):
    """Reports a wrong option in one sentence. If make started the program, the sentence names make's variable.

    The usage text, which lists options, is then left out. An option and its variable differ only in their spelling:
    ``--min-cosine-p1`` and ``MIN_COSINE_P1``.
    """

    def __init__(self, prog: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=program_name(prog),
            description=description,
            epilog=epilog,
            formatter_class=_Formatter,
        )
        self._switches: set[str] = set()

    def add_switch(self, flag: str, help: str) -> None:
        """Add an option that is on or off. Bare it is on; ``--flag=VALUE`` accepts what ``boolean`` does."""
        self._switches.add(flag)
        self.add_argument(flag, action="store_true", help=help)

    def read(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse the arguments. A wrong one ends the process with status 2."""
        return self.parse_args([word for argument in arguments for word in self._plain(argument)])

    def _plain(self, argument: str) -> list[str]:
        """Translate a switch with a value, which argparse does not accept, into one without."""
        flag, given, value = argument.partition("=")
        if flag not in self._switches or not given:
            return [argument]
        try:
            return [flag] if boolean(value) else []
        except argparse.ArgumentTypeError as error:
            self.error(f"argument {flag}: {error}")

    def error(self, message: str) -> NoReturn:
        message = re.sub(r"^argument ([\w/-]+): not allowed with argument ", r"\1 cannot be combined with ", message)
        message = re.sub(r"^argument ([\w/-]+): ", r"\1 ", message)
        if MAKE_TARGET not in os.environ:
            super().error(message)
        named = r"(?:(?<=^)|(?<=required: )|(?<=combined with ))--[a-z][a-z0-9-]*"
        self.exit(EXIT_USAGE, f"{self.prog}: {re.sub(named, lambda flag: variable(flag[0]), message)}\n")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of texts that have several, and wraps those of one line."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def variable(flag: str) -> str:
    """Make's variable for an option."""
    return flag.removeprefix("--").upper().replace("-", "_")


def program_name(name: str) -> str:
    """Return what the user started: ``make <target>``, or the program itself."""
    target = os.environ.get(MAKE_TARGET)
    return f"make {target}" if target else name


def run(name: str, action: Callable[[], int], interrupted: str) -> int:
    """Return the exit code of ``action``. Report a failure or an interruption in one line on standard error.

    SIGINT, SIGTERM and SIGHUP interrupt; ``interrupted`` is what to say about the consequences.
    """
    signals = raise_on_signals()
    try:
        return action()
    except BaseException as error:
        # NOTE: a C++ module that is just being imported turns a KeyboardInterrupt into an ImportError.
        if signals:
            return fail(name, f"interrupted: {interrupted}", EXIT_INTERRUPTED)
        if isinstance(error, BuildError | BundleError):
            return fail(name, str(error))
        if isinstance(error, OSError):
            return fail(name, system_message(error))
        raise


def raise_on_signals() -> list[int]:
    """Make SIGINT, SIGTERM and SIGHUP raise ``KeyboardInterrupt``; return the list that records them.

    An ignored SIGHUP stays ignored, as under nohup.
    """
    received: list[int] = []

    def interrupt(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        raise KeyboardInterrupt

    for number in INTERRUPTIONS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
    return received


@contextmanager
def interruptions_deferred() -> Iterator[None]:
    """Keep a signal that interrupts until the end of the block, where it interrupts as usual.

    So a process that is started in the block is known to the caller before anything can take control away. Without
    effect outside of the main thread, which signals do not interrupt.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in INTERRUPTIONS}
    replaced = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    for number in replaced:
        signal.signal(number, lambda signum, frame: received.append(signum))
    try:
        yield
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
    for signum in received[:1]:
        signal.raise_signal(signum)


def fail(name: str, message: str, status: int = EXIT_FAILED) -> int:
    """Print the message as one line, and return the status."""
    print(printable(f"{program_name(name)}: {message}"), file=sys.stderr)
    return status


def system_message(error: OSError) -> str:
    """What the operating system says about a file, and the file's name where it is known."""
    reason = str(error.strerror or error)
    return f"{reason}: {error.filename}" if error.filename else reason


def alternatives(words: Iterable[str]) -> str:
    """Join words as in "a, b or c"."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def format_size(size: int) -> str:
    """A number of bytes, in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def printable(text: str) -> str:
    """The text with question marks for what could break a line or steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def clip(text: str, length: int) -> str:
    """The text, with an ellipsis for what exceeds the length."""
    return text if len(text) <= length else text[: length - len(ELLIPSIS)] + ELLIPSIS
