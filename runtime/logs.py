"""Logging to standard error, one line per event, as text or as JSON."""

from __future__ import annotations

import json
import logging
import logging.config

from runtime.settings import LogFormat, LogLevel


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, message, and the stack trace if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event, ensure_ascii=False)


def logging_config(level: LogLevel, log_format: LogFormat) -> dict[str, object]:
    """Return the dictionary for ``logging.config.dictConfig``. Every logger writes to standard error."""
    formatters: dict[str, object] = {
        LogFormat.TEXT: {"format": "%(asctime)s %(levelname)s %(message)s", "datefmt": "%Y-%m-%dT%H:%M:%S%z"},
        LogFormat.JSON: {"()": JsonFormatter},
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatters[log_format]},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
        "loggers": {
            # NOTE: gunicorn and uvicorn report their own steps at info, which are details here.
            name: {"level": "DEBUG" if level is LogLevel.DEBUG else "WARNING"}
            for name in ("gunicorn.error", "gunicorn.access", "uvicorn.error", "uvicorn.access", "asyncio")
        },
    }
