"""Defines what can stop a measurement: one tree; each message is one line that says what went wrong.

BenchError
├── SetupFailed    an environment or a model that a system needs cannot be made
├── ServerFailed   a server does not start, does not turn ready, or dies
├── ModelFailed    an engine cannot load or run a model
└── LoadFailed     an answer is not a 200 with the right vector, or does not come
"""

from __future__ import annotations


class BenchError(Exception):
    pass


class SetupFailed(BenchError):
    pass


class ServerFailed(BenchError):
    pass


class LoadFailed(BenchError):
    pass


class ModelFailed(BenchError):
    pass
