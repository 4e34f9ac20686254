"""Fetches a model as a build does, and prints what came of it: ``python -m tests.support.programs.fetch REQUEST``."""

from __future__ import annotations

import json
import sys
from logging import getLogger

from build.errors import BuildError
from build.model.fetch import fetch
from build.model.trust import Trust


def main(request: str) -> None:
    """``request``: a JSON array of the model, its revision, and the fields of ``Trust``."""
    model, revision, *trust = json.loads(request)
    try:
        files = fetch(model, revision, Trust(*trust))
    except BuildError as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))
        return
    names = sorted(p.relative_to(files.directory).as_posix() for p in files.directory.rglob("*") if p.is_file())
    found = {
        "model": files.model,
        "kind": files.source.kind,
        "revision": files.source.revision,
        "requested": files.requested_revision,
        "log level": getLogger("huggingface_hub").level,
        "code revision": files.source.code_revision,
        "code cache": files.code_cache and str(files.code_cache),
        "directory": str(files.directory),
        "names": names,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
