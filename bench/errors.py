"""Defines what can stop a benchmark; every message is one line.

BenchError
├── SetupFailed    something that a system needs cannot be made: an environment, a model, a bundle
├── InvalidOption  an option does not fit the model
├── ServerFailed   a server does not start, does not become ready, or dies
├── ModelFailed    an engine cannot load or run a model
└── LoadFailed     an answer is not a 200 with the right vector, or does not arrive
"""

from __future__ import annotations


class BenchError(Exception):
    pass


class SetupFailed(BenchError):
    pass


class InvalidOption(BenchError):
    pass


class ServerFailed(BenchError):
    pass


class LoadFailed(BenchError):
    pass


class ModelFailed(BenchError):
    pass
