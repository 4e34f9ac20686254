"""Logging to standard error, one line per event, as text or as JSON: also what libraries and Python itself report."""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import TextIO

from runtime.settings import LogFormat, LogLevel

TIME = "%Y-%m-%dT%H:%M:%S%z"

LIBRARIES = ("gunicorn.error", "gunicorn.access", "asyncio")
"""Loggers that report their own steps at info, which are details here."""

log = logging.getLogger("cpu2vec")


class TextFormatter(logging.Formatter):
    """One line: time, level (a word of LOG_LEVEL in capitals) and message; below it the stack trace if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{self.formatTime(record, TIME)} {level_of(record).upper()} {record.getMessage()}"
        if trace := trace_of(record):
            line += f" trace_id={trace}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level (a word of LOG_LEVEL), message, trace and stack trace if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": self.formatTime(record, TIME),
            "level": level_of(record),
            "message": record.getMessage(),
        }
        if trace := trace_of(record):
            event["trace_id"] = trace
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)


FORMATTERS = {LogFormat.TEXT: TextFormatter, LogFormat.JSON: JsonFormatter}


def trace_of(record: logging.LogRecord) -> str | None:
    """The trace of the request that the line is about, if it belongs to one."""
    trace: str | None = getattr(record, "trace_id", None)
    return trace


def level_of(record: logging.LogRecord) -> LogLevel:
    """The level in the words of the setting, which has none above error."""
    words = {logging.DEBUG: LogLevel.DEBUG, logging.INFO: LogLevel.INFO, logging.WARNING: LogLevel.WARNING}
    return words.get(record.levelno, LogLevel.ERROR)


def configure_logging(level: LogLevel, log_format: LogFormat) -> None:
    """Have all loggers of this process, and of those that it forks, write to standard error.

    Warnings and uncaught exceptions, of any thread, are logged, too. What C++ libraries print is not.
    """
    # PERF: logging.config would be imported for this alone, and takes 4 ms of a start.
    handler = logging.StreamHandler()
    handler.setFormatter(FORMATTERS[log_format]())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in LIBRARIES:
        logging.getLogger(name).setLevel("WARNING" if level is LogLevel.INFO else level.upper())
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread
    sys.unraisablehook = _log_unraisable
    warnings.showwarning = _log_warning


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    log.error("unexpected: %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(arguments: threading.ExceptHookArgs) -> None:
    log.error("unexpected, in a thread: %s", arguments.exc_type.__name__, exc_info=arguments.exc_value)


def _log_unraisable(event: sys.UnraisableHookArgs) -> None:
    log.error("unexpected, and ignored: %s", event.exc_type.__name__, exc_info=event.exc_value)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log.warning("%s:%d: %s: %s", filename, lineno, category.__name__, message)
