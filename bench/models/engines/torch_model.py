"""Runs the original in fp32 through transformers and PyTorch, on one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from bench.models.engines.inputs import Text, join

torch.set_num_threads(1)


class Model:
    """Runs one text per call."""

    isa = torch.backends.cpu.get_cpu_capability()

    def __init__(self, network: torch.nn.Module) -> None:
        self._network = network

    def run(self, texts: list[Text]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return join([self._run_text(torch.tensor([text.ids])) for text in texts])

    def embed(self, text: Text) -> NDArray[np.float32]:
        return self.run([text])

    def _run_text(self, ids: torch.Tensor) -> NDArray[np.float32]:
        output = self._network(input_ids=ids, attention_mask=torch.ones_like(ids))
        embeddings: NDArray[np.float32] = output.last_hidden_state[0].numpy()
        return embeddings


def load(directory: Path, isa: str | None, callers: int) -> Model:
    network = AutoModel.from_pretrained(directory, local_files_only=True, torch_dtype=torch.float32)
    return Model(network.eval())
