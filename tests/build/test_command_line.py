"""Options, exit codes and messages that the build's command lines share."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from build.command_line import (
    ARCHITECTURES,
    MAKE_TARGET,
    Parser,
    choice_of,
    clip,
    fail,
    format_size,
    interruptions_deferred,
    positive,
    program_name,
    raise_on_signals,
    run,
    system_message,
)
from build.errors import OutOfDisk
from manifest import BundleError, Precision, Target
from tests.support.paths import ROOT

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def not_below_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MAKE_TARGET, raising=False)


@pytest.fixture
def handlers() -> Iterator[None]:
    """Restore what a test changes, which starts as in a terminal."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # NOTE: under nohup it is ignored, which the program respects.
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def a_parser() -> Parser:
    parser = Parser("program", "Does something.")
    parser.add_argument("--arch", type=ARCHITECTURES, metavar=ARCHITECTURES.metavar, default=Target.AMD64)
    parser.add_argument("--precision", type=choice_of(Precision), default=Precision.INT8)
    parser.add_argument("--min-seconds", type=positive(float), default=1.0)
    parser.add_argument("--old")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--model")
    group.add_argument("--bundle")
    parser.add_switch("--allow-pickle", help="read pickles")
    return parser


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a parser prints to standard error about arguments that it does not accept."""
    with pytest.raises(SystemExit) as ended:
        a_parser().read(arguments)
    assert ended.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    return errors


class TestOptions:
    @pytest.mark.parametrize(
        ("word", "target"),
        [
            ("amd64", Target.AMD64),
            ("x86_64", Target.AMD64),
            ("arm64", Target.ARM64),
            ("aarch64", Target.ARM64),
        ],
    )
    def test_architectures_have_two_names(self, word: str, target: Target):
        assert a_parser().read([f"--arch={word}"]).arch is target

    def test_defaults_are_kept(self):
        options = a_parser().read([])
        assert (options.arch, options.precision, options.allow_pickle) == (Target.AMD64, Precision.INT8, False)

    @pytest.mark.parametrize(
        ("argument", "sentence"),
        [
            ("--arch=mips", "--arch must be amd64 or arm64, not 'mips'"),
            ("--precision=int4", "--precision must be int8, int8-stock, fp32 or stored, not 'int4'"),
            ("--min-seconds=0", "--min-seconds must be a number greater than 0, not '0'"),
            ("--min-seconds=soon", "--min-seconds must be a number greater than 0, not 'soon'"),
            ("--allow-pickle=maybe", "--allow-pickle must be 1, true, yes, on, 0, false, no or off, not 'maybe'"),
            ("--old", "--old expected one argument"),
        ],
    )
    def test_a_wrong_value_is_named_with_what_is_accepted(self, capsys, argument: str, sentence: str):
        errors = refusal(capsys, argument)
        assert errors.startswith("usage: program ")
        assert errors.splitlines()[-1] == f"program: error: {sentence}"

    def test_options_that_exclude_each_other_are_named(self, capsys):
        errors = refusal(capsys, "--model=a", "--bundle=b")
        assert errors.splitlines()[-1] == "program: error: --bundle cannot be combined with --model"

    @pytest.mark.parametrize("word", ["1", "true", "yes", "on", "On"])
    def test_a_switch_with_a_value_is_on(self, word: str):
        assert a_parser().read([f"--allow-pickle={word}"]).allow_pickle is True

    @pytest.mark.parametrize("word", ["0", "false", "no", "off", "FALSE"])
    def test_a_switch_with_a_value_is_off(self, word: str):
        assert a_parser().read([f"--allow-pickle={word}"]).allow_pickle is False

    def test_a_bare_switch_is_on_and_takes_no_word_from_what_follows(self):
        options = a_parser().read(["--allow-pickle", "--model", "a"])
        assert (options.allow_pickle, options.model) == (True, "a")

    def test_choices_are_shown_by_value(self):
        usage = a_parser().format_usage()
        assert "{amd64,arm64}" in usage
        assert "Target" not in usage

    def test_long_descriptions_are_wrapped_and_examples_are_not(self):
        parser = Parser("program", "word " * 50, "examples:\n  " + "word " * 50)
        parser.add_argument_group("group", "word " * 50)
        lines = parser.format_help().splitlines()
        assert [line for line in lines if len(line) > 120] == [lines[-1]]

    @pytest.mark.parametrize("text", ["3", "3.5", "1e3"])
    def test_numbers_are_read(self, text: str):
        assert positive(float)(text) == float(text)

    @pytest.mark.parametrize("text", ["1.5", "", "-1", "inf"])
    def test_whole_numbers_are_wanted_where_they_are(self, text: str):
        with pytest.raises(argparse.ArgumentTypeError, match="must be a whole number greater than 0, not "):
            positive(int)(text)


class TestBelowMake:
    @pytest.fixture(autouse=True)
    def target(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(MAKE_TARGET, "image")

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--arch=mips"], "ARCH must be amd64 or arm64, not 'mips'"),
            (["--min-seconds=0"], "MIN_SECONDS must be a number greater than 0, not '0'"),
            (["--arch=--old"], "ARCH must be amd64 or arm64, not '--old'"),
            (["--allow-pickle=x"], "ALLOW_PICKLE must be 1, true, yes, on, 0, false, no or off, not 'x'"),
            (["--model=a", "--bundle=b"], "BUNDLE cannot be combined with MODEL"),
        ],
    )
    def test_a_wrong_value_is_reported_in_one_line_under_its_variable(self, capsys, arguments, sentence: str):
        assert refusal(capsys, *arguments) == f"make image: {sentence}\n"

    def test_failures_are_the_targets(self, capsys):
        assert program_name("quantize.py") == "make image"
        assert fail("quantize.py", "no such model") == 1
        assert capsys.readouterr().err == "make image: no such model\n"


@pytest.mark.usefixtures("handlers")
class TestRuns:
    def test_the_actions_status_is_that_of_the_run(self):
        assert run("program", lambda: 3, "nothing was changed") == 3

    @pytest.mark.parametrize(
        ("error", "line"),
        [
            (OutOfDisk("the disk is full"), "the disk is full"),
            (BundleError("not a bundle"), "not a bundle"),
            (FileNotFoundError(2, "No such file or directory", "a/b"), "No such file or directory: a/b"),
            (OSError("something else"), "something else"),
            (OSError(5, "Input/output error", "a\x1b[31m\nb"), "Input/output error: a?[31m?b"),
        ],
    )
    def test_a_failure_is_one_line(self, capsys, error: Exception, line: str):
        def action() -> int:
            raise error

        assert run("program", action, "nothing was changed") == 1
        assert capsys.readouterr().err == f"program: {line}\n"

    def test_a_defect_is_not_hidden(self):
        def action() -> int:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run("program", action, "nothing was changed")

    @pytest.mark.parametrize("signum", SIGNALS)
    @pytest.mark.parametrize("library", [False, True])
    def test_an_interruption_is_one_line_even_if_a_library_makes_an_error_of_it(self, capsys, signum, library: bool):
        def action() -> int:
            try:
                signal.raise_signal(signum)
            except KeyboardInterrupt as error:
                if library:
                    raise ImportError("initialization failed") from error
                raise
            return 0

        assert run("program", action, "nothing was changed") == 130
        assert capsys.readouterr().err == "program: interrupted: nothing was changed\n"

    def test_a_hangup_that_is_ignored_stays_ignored(self):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        received = raise_on_signals()
        signal.raise_signal(signal.SIGHUP)
        assert received == []

    @pytest.mark.parametrize("signum", SIGNALS)
    def test_one_that_is_deferred_comes_at_the_end_of_the_block(self, signum):
        received = raise_on_signals()
        done = []

        def block() -> None:
            with interruptions_deferred():
                signal.raise_signal(signum)
                done.append("the rest of the block")

        with pytest.raises(KeyboardInterrupt):
            block()
        assert done == ["the rest of the block"]
        assert received == [signum]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signum)

    def test_an_ignored_hangup_stays_ignored_while_others_are_deferred(self):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        raise_on_signals()
        with interruptions_deferred():
            signal.raise_signal(signal.SIGHUP)

    def test_outside_of_the_main_thread_there_is_nothing_to_defer(self):
        done = []

        def block() -> None:
            with interruptions_deferred():
                done.append(True)

        thread = threading.Thread(target=block)
        thread.start()
        thread.join()
        assert done == [True]


class TestWording:
    def test_sizes(self):
        assert [format_size(size) for size in (50_000, 91_200_000, 2_271_019_008)] == ["0.1 MB", "91.2 MB", "2.3 GB"]

    @pytest.mark.parametrize(("text", "clipped"), [("four", "four"), ("fives", "fiv…"), ("", "")])
    def test_long_texts_are_clipped(self, text: str, clipped: str):
        assert clip(text, 4) == clipped

    def test_an_error_without_a_file_is_its_reason(self):
        assert system_message(OSError(28, "No space left on device")) == "No space left on device"


def test_it_needs_the_standard_library_alone():
    """The image's command line runs on a host that has Python and Docker alone."""
    program = [sys.executable, "-S", "-c", "import build.command_line"]
    subprocess.run(program, cwd=ROOT, env={"PATH": os.defpath}, check=True)
