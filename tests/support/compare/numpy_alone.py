"""Runs ``make compare`` of two addresses where PyTorch is not: it must import numpy and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from build.fidelity.runtime_process import RUNTIME_PYTHON
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE

NUMPY_ALONE = """
import sys
from build.compare.__main__ import main
status = main(sys.argv[1:])
files = {name.split(".")[0]: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
foreign = {name for name, file in files.items() if "site-packages" in file} - {"_distutils_hack"}
assert foreign <= {"numpy"}, foreign
sys.exit(status)
"""


def compared(old: str, new: str, file: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run in the runtime's environment, which has no PyTorch, and fail if more than numpy was imported."""
    return subprocess.run(
        [RUNTIME_PYTHON, "-W", "error", "-c", NUMPY_ALONE, "--old", old, "--new", new, "--texts", file, *more],
        cwd=ROOT,
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def rows(result: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The values of the table, by the names of its lines; of two lines with one name, the last."""
    return dict(re.findall(r"^(\S+) +(.+)$", result.stdout, re.MULTILINE))
