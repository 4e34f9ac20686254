"""An interrupted ``quantize.py`` says so in one line, and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from build import cli
from build.bundle.staging import staging_dir
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.programs.forks import Fork, Forks
from tests.support.quantize import STAGE, assert_nothing_but
from tests.support.signals import restore_signals

pytestmark = pytest.mark.slow


def at_once(output: Path) -> bool:
    return True


def writes_a_graph(output: Path) -> bool:
    """Whether the export has begun to write."""
    return any(staging_dir(output).rglob("*.onnx*"))


def runtimes_that_serve(output: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"BUNDLE_DIR={output.parent}".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_build_that_is_interrupted_while_it_imports_leaves_nothing_behind(
    environment: dict[str, str], output: Path, signum: signal.Signals, model: Path
):
    with subprocess.Popen(
        [sys.executable, "quantize.py", str(model), "--output", str(output)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=restore_signals,
    ) as process:
        interrupt(process, signum, output, "describe: done", at_once)


@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize(
    ("line", "begun"),
    [
        ("describe: done", writes_a_graph),
        ("export: ", at_once),
        ("verify: ", runtimes_that_serve),
    ],
)
def test_an_interrupted_build_leaves_nothing_behind(
    forks: Forks,
    environment: dict[str, str],
    output: Path,
    signum: signal.Signals,
    line: str,
    begun: Callable[[Path], object],
    model: Path,
):
    with forks.started(["quantize.py", model, "--output", output], environment) as process:
        interrupt(process, signum, output, line, begun)


def interrupt(
    process: subprocess.Popen[str] | Fork,
    signum: signal.Signals,
    output: Path,
    line: str,
    begun: Callable[[Path], object],
) -> None:
    """Send the signal once the program has written the line and begun what follows it; expect no trace of the build."""
    seen = []
    while line not in (seen[-1] if seen else ""):
        seen.append(process.stderr.readline())
        assert seen[-1], seen
    while not begun(output):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signum)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, stderr
    assert stdout == ""
    rest = [said for said in stderr.splitlines() if not STAGE.fullmatch(said)]
    assert rest == ["quantize.py: interrupted: nothing was left behind"]
    assert_nothing_but(output.parent)
    assert runtimes_that_serve(output) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_that_a_library_makes_an_error_of_is_still_one(
    signum: signal.Signals, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """As modules in C++ do while they are imported."""

    def build_bundle(*_: object) -> None:
        try:
            signal.raise_signal(signum)
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr("build.pipeline.build_bundle", build_bundle)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        assert cli.main(["any/model"]) == 130
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert capsys.readouterr().err == "quantize.py: interrupted: nothing was left behind\n"
