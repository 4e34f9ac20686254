"""Stage lines on any stream, bars on terminals alone, and silence from libraries."""

from __future__ import annotations

import io
import logging
import re
import warnings

import pytest

from build.progress import Progress, silence_libraries

STAGES = ("fetch", "verify")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_stage_is_announced_by_its_number_and_reported_with_its_time():
    stream = io.StringIO()
    progress = Progress(STAGES, stream)
    for name in STAGES:
        with progress.stage(name, "a model"):
            pass
    lines = stream.getvalue().splitlines()
    assert [lines[0], lines[2]] == ["[1/2] fetch: a model", "[2/2] verify: a model"]
    assert all(re.fullmatch(r"\[\d/2\] (fetch|verify): done in \d+\.\d s", line) for line in lines[1::2])


def test_a_stage_that_fails_is_not_done():
    stream = io.StringIO()
    with pytest.raises(KeyError), Progress(STAGES, stream).stage("fetch", "a model"):
        raise KeyError
    assert stream.getvalue() == "[1/2] fetch: a model\n"


def test_a_stage_that_was_not_listed_is_a_defect():
    with pytest.raises(ValueError, match="not in tuple"), Progress(STAGES, io.StringIO()).stage("lost", ""):
        pass


def test_stages_may_become_known_on_the_way():
    stream = io.StringIO()
    progress = Progress(stream=stream)
    with progress.stage("fetch", "a model"):
        pass
    progress.expect(("package", "verify"))
    with progress.stage("package", "a model"):
        pass
    assert stream.getvalue().splitlines()[::2] == ["[1] fetch: a model", "[2/3] package: a model"]


def test_bars_are_drawn_on_terminals_alone():
    assert Progress(STAGES, Terminal()).bars
    assert not Progress(STAGES, io.StringIO()).bars


def test_libraries_are_silent_until_the_end_of_the_block(capsys: pytest.CaptureFixture[str]):
    library = logging.getLogger("some.library")
    handlers, disabled = list(logging.getLogger().handlers), logging.getLogger().manager.disable
    with silence_libraries():
        library.warning("look")
        warnings.warn("look", stacklevel=1)
        assert not library.isEnabledFor(logging.WARNING)
        assert library.isEnabledFor(logging.ERROR)
    assert capsys.readouterr() == ("", "")
    assert (logging.getLogger().handlers, logging.getLogger().manager.disable) == (handlers, disabled)
