"""Times the native kernels of every instruction set that runs on this machine: ``python -m bench.kernels [NAMES]``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from build.kernels import build_program, for_image
from runtime.host.cpu import host_target


def main(names: list[str]) -> int:
    target = host_target()
    if target is None:
        sys.exit("the kernels are for amd64 and arm64")
    with tempfile.TemporaryDirectory() as directory:
        program = build_program("benchmark", target, for_image(target), Path(directory), defines=["CPU2VEC_BENCH"])
        return subprocess.run([program, *names], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
