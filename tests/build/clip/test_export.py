"""The text tower's embeddings, beside the original's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from build.clip.export import FORMER_END, TextTower, load_network
from build.model.trust import NO_TRUST
from tests.support.models.tiny_clip import make_network


@pytest.mark.parametrize("former", [False, True], ids=["today's end", "the end in older configs"])
@pytest.mark.parametrize("ends", [[5], [2, 5], [1], [1, 2, 5], [0, 5]])
def test_the_last_embedding_is_that_of_the_first_end(tmp_path: Path, former: bool, ends: list[int]):
    network = load_network(make_network(tmp_path), NO_TRUST)
    config = network.config.text_config
    ids = torch.tensor([[config.bos_token_id, 7, 8, 9, 10, 11]])
    ids[0, ends] = config.eos_token_id
    if former:
        config.eos_token_id = network.text_model.eos_token_id = FORMER_END
    with torch.inference_mode():
        expected = network.get_text_features(input_ids=ids)
        found = network.text_projection(TextTower(network)(ids)[:, -1])
    torch.testing.assert_close(found, expected)
