"""The machine's architecture under the name that bundles have for it."""

from __future__ import annotations

import platform

import pytest

from build.host.machine import host_target
from manifest import Target


@pytest.mark.parametrize(
    ("machine", "target"),
    [("x86_64", Target.AMD64), ("aarch64", Target.ARM64), ("riscv64", Target.AMD64), ("", Target.AMD64)],
)
def test_the_target_is_the_kernels_machine(monkeypatch: pytest.MonkeyPatch, machine: str, target: Target):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert host_target() is target
