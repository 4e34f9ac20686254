"""Every line in the chosen format: our own, those of libraries, warnings, and what nobody caught."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from runtime.settings import LogFormat, LogLevel
from tests.support.paths import ROOT

SETUP = """
import asyncio, logging, threading, warnings
from runtime.logs import configure_logging
from runtime.server.master import configuration
from runtime.settings import LogFormat, LogLevel
configure_logging(LogLevel("{level}"), LogFormat("{log_format}"))
log = logging.getLogger("cpu2vec")
cfg = configuration(drain_seconds=1, workers=1).cfg
gunicorn = cfg.logger_class(cfg)
"""

EVENTS = {
    "our own": 'log.warning("hello")',
    "a message of lines": 'log.warning("hel\\nlo")',
    "gunicorn": 'gunicorn.error("hello")',
    "gunicorn, critical": 'gunicorn.critical("hello")',
    "any other": 'logging.getLogger("library").warning("hello")',
    "a warning": 'warnings.simplefilter("always"); warnings.warn("hello")',
    "a caught exception": 'try: 1 / 0\nexcept ZeroDivisionError: log.exception("hello")',
    "an uncaught exception": 'raise ValueError("hello")',
    "an uncaught exception of a thread": """
def fail():
    raise ValueError("hello")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
""",
    "an exception that Python ignores": """
class Fails:
    def __del__(self):
        raise ValueError("hello")
Fails()
""",
    "a task whose exception nobody awaits": """
async def main():
    async def fail():
        raise ValueError("hello")
    task = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
asyncio.run(main())
""",
    "what is no text": 'log.warning("hello \\udcff")',
}


def run(program: str, log_format: LogFormat, level: LogLevel = LogLevel.INFO) -> list[str]:
    """What the program writes to standard error, in lines."""
    command = [sys.executable, "-c", SETUP.format(level=level, log_format=log_format) + program]
    result = subprocess.run(command, cwd=ROOT, env={"PATH": os.defpath}, capture_output=True, text=True)
    assert result.stdout == ""
    return result.stderr.splitlines()


@pytest.mark.parametrize("event", EVENTS)
def test_in_json_each_event_is_one_object(event: str):
    (line,) = run(EVENTS[event], LogFormat.JSON)
    fields = json.loads(line)
    assert {"time", "level", "message"} <= set(fields) <= {"time", "level", "message", "exception"}
    assert fields["level"] in ("warning", "error")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", fields["time"])
    assert "hello" in line.replace("\\n", "")
    assert ("exception" in fields) == ("exception" in event)


@pytest.mark.parametrize("event", EVENTS)
def test_as_text_each_event_begins_with_time_and_level(event: str):
    line = run(EVENTS[event], LogFormat.TEXT)[0]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (WARNING|ERROR) ", line)


@pytest.mark.parametrize("log_format", LogFormat)
def test_steps_of_gunicorn_are_details(log_format: LogFormat):
    program = 'gunicorn.info("a step")'
    assert run(program, log_format) == []
    assert len(run(program, log_format, LogLevel.DEBUG)) == 1


@pytest.mark.parametrize("log_format", LogFormat)
def test_libraries_are_as_silent_as_the_server(log_format: LogFormat):
    program = 'gunicorn.warning("careful"); gunicorn.error("wrong")'
    assert len(run(program, log_format, LogLevel.WARNING)) == 2
    assert len(run(program, log_format, LogLevel.ERROR)) == 1


@pytest.mark.parametrize("level", LogLevel)
def test_events_below_the_level_are_left_out(level: LogLevel):
    program = "\n".join(f'log.{name}("{name}")' for name in LogLevel)
    lines = run(program, LogFormat.JSON, level)
    assert [json.loads(line)["level"] for line in lines] == list(LogLevel)[list(LogLevel).index(level) :]


def test_a_line_about_a_request_names_its_trace_and_no_other_line_does():
    program = 'log.warning("hello", extra={"trace_id": "ab"}); log.warning("other", extra={"trace_id": None})'
    first, second = map(json.loads, run(program, LogFormat.JSON))
    assert first["trace_id"] == "ab"
    assert "trace_id" not in second
    first, second = run(program, LogFormat.TEXT)
    assert first.endswith(" WARNING hello trace_id=ab")
    assert second.endswith(" WARNING other")
