#!/usr/bin/env python3
"""Turns a HuggingFace embedding model into a bundle: ``./quantize.py --help``."""

import importlib.util
import os
import sys

BUILD_PYTHON = ".venv/build/bin/python"


def main() -> int:
    if any(importlib.util.find_spec(name) is None for name in ("torch", "optimum", "sentence_transformers")):
        arguments = " ".join(sys.argv[1:])
        print(
            f"quantize.py: this Python lacks the build's packages. Run `make setup` once, then:\n"
            f"  {BUILD_PYTHON} quantize.py {arguments}".rstrip(),
            file=sys.stderr,
        )
        return 1
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    from build.cli import main as build_main

    return build_main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
