"""The architecture of this machine."""

from __future__ import annotations

from manifest import Target


def host_target() -> Target | None:
    """The target that this machine is; None for a machine that no bundle fits."""
    return Target.of_machine()
