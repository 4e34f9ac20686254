"""The loads of requests with many texts, beside requests with one."""

from __future__ import annotations

from bench.load.loads import Group, Load
from bench.load.modules import Module
from bench.load.texts import SHORT

BATCHES = ((1, 8, 1), (32, 8, 1), (512, 4, 2))
"""Texts of a request, requests in flight, and how many times as long as others the load lasts."""


def batch_loads(single: Module, max_words_per_second: int) -> tuple[Load, ...]:
    """``single``: who asks for one text alone. In requests of many, the answers have floats or base64."""
    modules = (Module.OPENAI_FLOAT, Module.OPENAI_BASE64)
    many = [(module, *batch) for module in modules for batch in BATCHES]
    return tuple(
        Load(SHORT, in_flight, Group.BATCHES, times, max_words_per_second, module, texts=texts)
        for module, texts, in_flight, times in [(single, 1, 8, 1), *many]
    )
