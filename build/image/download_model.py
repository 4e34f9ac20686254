"""Downloads a model in the Dockerfiles' export stage, so that what follows needs neither the network nor a token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from build.command_line import fail
from build.errors import InvalidOption
from build.image.export_model import PROGRAM, is_on, quantize_options
from build.model.fetch import code_repositories, is_path
from build.model.hub import DEFAULT_REVISION, cache_directory
from build.model.hub_cache import Records, copy_snapshot, recall

CACHE = Path("/hub")
"""A cache in the hub's layout that only holds what this build uses."""


def main(arguments: Mapping[str, str], destination: Path = CACHE) -> int:
    """Download, and copy from the hub's cache to ``destination`` what the model's build will read."""
    try:
        options = quantize_options(arguments)
        with_code = is_on("TRUST_REMOTE_CODE", arguments.get("TRUST_REMOTE_CODE", ""))
    except InvalidOption as error:
        return fail(PROGRAM, str(error))
    status = subprocess.run([sys.executable, PROGRAM, "--download-only", *options]).returncode
    if status == 0:
        directory = _copy_model(arguments["MODEL"], arguments.get("REVISION") or DEFAULT_REVISION, destination)
        if image_model := arguments.get("IMAGE_MODEL"):
            _copy_model(image_model, arguments.get("IMAGE_REVISION") or DEFAULT_REVISION, destination)
        if with_code and directory is not None:
            for repository in code_repositories(directory):
                _copy(Records.CODE, repository, arguments.get("CODE_REVISION") or DEFAULT_REVISION, destination)
    return status


def _copy_model(model: str, revision: str, destination: Path) -> Path | None:
    """Copy a model on the hub; return the directory of its files, None for one that comes with the environment."""
    return Path(model) if is_path(model) else _copy(Records.MODEL, model, revision, destination)


def _copy(records: Records, repository: str, revision: str, destination: Path) -> Path | None:
    snapshot = recall(records, cache_directory(), repository, revision)
    return copy_snapshot(records, snapshot, revision, destination) if snapshot else None


if __name__ == "__main__":
    sys.exit(main(os.environ))
