"""A system that can be measured: how it is prepared, and how it is started."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.commands import Command
from bench.load.loads import Group
from bench.server.process import Server, free_port
from build.model.files import ModelFiles
from build.paths import ROOT

INCUMBENT, CPU2VEC, BASE, STUB = "incumbent", "cpu2vec", "base", "stub"
"""The server that is replaced, this checkout's, another checkout's, and this one without a model."""

ONE_TEXT_EACH = frozenset(Group) - {Group.BATCHES}
"""The loads of servers that take one text in a request."""


@dataclass(frozen=True)
class Launch:
    """How to start a server."""

    command: Command
    environment: Mapping[str, str]
    """All that the server inherits besides PATH."""
    folder: Path = ROOT
    """The working directory."""


@dataclass(frozen=True)
class System:
    """One server."""

    name: str
    about: str
    environment: Path
    """The virtual environment that it runs in."""
    packages: tuple[str, ...]
    """The packages of ``environment`` whose versions are reported."""
    prepare: Callable[[ModelFiles], None]
    """Makes what is missing for a model, which may take minutes. Raises ``SetupFailed``."""
    launch: Callable[[ModelFiles, int], Launch]
    """How to serve a model on a port; the start is timed."""
    loads: frozenset[Group] = frozenset(Group)
    """The loads that it is put under."""
    has_model: bool = True
    """Whether its answers are compared with the original's."""

    def start(self, model: ModelFiles) -> Server:
        """A ready server on a free port. Raises ``ServerFailed``."""
        port = free_port()
        launch = self.launch(model, port)
        return Server(launch.command, port, {"PATH": os.defpath, **launch.environment}, launch.folder)
