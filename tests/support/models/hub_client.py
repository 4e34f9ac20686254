"""Fetches a model from a hub on this machine, in a process of its own, as a user's build would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT
from tests.support.patience import PATIENCE
from tests.support.programs.forks import Interpreter
from tests.support.programs.hub_forks import HubForks

MODEL = "Tiny-Org/Tiny-Model"

FETCH = ("-m", "tests.support.programs.fetch")

FETCHING = Interpreter(
    (sys.executable, "-W", "error"),
    {"PATH": os.defpath},
    ("build.model.fetch", "build.model.hub", "build.model.trust", "huggingface_hub.hf_api"),
)
"""With what a fetch imports."""

READ_LATE = {"HF_TOKEN"}
"""Of the hub's variables, those that are read only when they are needed."""

FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": bytes(range(256)) * 40,
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b'{"file": "tokenizer_config.json"}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "modules.json": b"[]",
    "1_Pooling/config.json": b'{"file": "1_Pooling/config.json"}',
    "sentence_bert_config.json": b'{"file": "sentence_bert_config.json"}',
    "config_sentence_transformers.json": b'{"file": "config_sentence_transformers.json"}',
    "README.md": b"---\nlicense: mit\n---\n",
}
"""A build reads these files."""

UNWANTED = {
    ".gitattributes": b"*.bin lfs",
    "pytorch_model.bin": b"pickle",
    "tf_model.h5": b"tensorflow",
    "rust_model.ot": b"rust",
    "onnx/model.onnx": b"onnx",
    "onnx/config.json": b"{}",
    "openvino/openvino_model.xml": b"<xml/>",
    "train_script.py": b"print('never run')",
    "modeling.py": b"class Model: ...",
    "data_config.json": b"[]",
    "old/pytorch_model.bin": b"pickle",
}
"""A repository has these files as well, and a build reads none of them."""


@dataclass(frozen=True)
class Fetched:
    """What a run of the client printed."""

    answer: dict[str, Any]
    stderr: str

    def __getitem__(self, key: str) -> Any:
        return self.answer[key]

    @property
    def files(self) -> dict[str, Any]:
        """The answer without the revision that was asked for."""
        return {key: value for key, value in self.answer.items() if key != "requested"}


@dataclass(frozen=True)
class HubClient:
    """A user whose home and cache are in a directory of a test."""

    directory: Path
    forks: HubForks

    def __call__(
        self,
        model: str = MODEL,
        revision: str | None = None,
        with_code: bool = False,
        with_pickle: bool = False,
        code_revision: str | None = None,
        **environment: str,
    ) -> Fetched:
        """Fetch a model, with more variables in the environment."""
        request = json.dumps([model, revision, with_code, with_pickle, code_revision])
        command = [*FETCH, request]
        self.forks.set_home(self.directory / "cache")
        given = {"PATH": os.defpath, "HOME": str(self.directory / "home"), **environment}
        if set(environment) <= READ_LATE:
            result = self.forks.run(command, given)
        else:
            result = subprocess.run(
                [*FETCHING.command, *command],
                cwd=ROOT,
                env=self.forks.variables | given,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        assert result.returncode == 0, result.stderr
        return Fetched(json.loads(result.stdout), result.stderr)


def on_disk(fetched: Fetched) -> dict[str, bytes]:
    """Return the content of the files that were fetched, by name."""
    return {name: (Path(fetched["directory"]) / name).read_bytes() for name in fetched["names"]}


def refused(fetched: Fetched) -> tuple[str, str]:
    """Return the error and its message, which is a single line and all that was printed."""
    assert fetched.stderr == ""
    assert len(fetched["message"].splitlines()) == 1
    return fetched["error"], fetched["message"]
