"""Knows which target this machine is."""

from __future__ import annotations

import platform

from manifest import Target

TARGET_OF_MACHINE = {"x86_64": Target.AMD64, "aarch64": Target.ARM64}


def host_target(machine: str | None = None) -> Target | None:
    """The target that ``machine`` (this one, unless given) is, or None for one that no bundle is built for."""
    return TARGET_OF_MACHINE.get(machine or platform.machine())
