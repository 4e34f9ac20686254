"""Starts an application in ``bench/incumbent`` as the containers that are replaced do."""

from __future__ import annotations

from pathlib import Path

from bench.commands import Command
from bench.environment import python_in
from bench.server.system import Launch


def serve_app(environment: Path, app: str, model: Path, port: int, **settings: str) -> Launch:
    """``app``: a module of ``bench.incumbent`` that serves the model in ``MODEL_DIR``. ``settings``: more variables."""
    command: Command = [python_in(environment), "-m", "uvicorn", f"bench.incumbent.{app}:app"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    return Launch([*command, *options], {"MODEL_DIR": str(model), "HF_HUB_OFFLINE": "1", **settings})
