"""The text tower's embeddings, beside the original's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from build.clip.export import FORMER_END, PaddedTextTower, TextTower, export_towers, load_network
from build.errors import UnsupportedModel
from build.model.files import TOKENIZER_CONFIG
from build.model.trust import NO_TRUST
from tests.support.json_files import change
from tests.support.models.tiny_clip import LIMIT, make_network, make_siglip


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


@pytest.mark.parametrize("length", [1, 5, LIMIT - 1, LIMIT])
def test_a_padded_text_is_read_from_the_last_position(tmp_path: Path, length: int):
    network = load_network(make_siglip(tmp_path / "model"), NO_TRUST)
    ids = torch.arange(3, 3 + length)[None]
    padded = torch.nn.functional.pad(ids, (0, LIMIT - length), value=1)
    with torch.inference_mode():
        expected = network.get_text_features(input_ids=padded)
        embeddings = PaddedTextTower(network, 1)(ids)
        found = network.text_model.head(embeddings[:, -1])
    assert embeddings.shape[1] == length
    torch.testing.assert_close(found, expected)


def test_a_tokenizer_without_padding_is_refused(tmp_path: Path):
    model = make_siglip(tmp_path / "model")
    change(model / TOKENIZER_CONFIG, lambda config: config.update(pad_token=None))
    with pytest.raises(UnsupportedModel, match=f"{TOKENIZER_CONFIG}: there is no pad_token, and texts are padded"):
        export_towers(model, tmp_path / "work", NO_TRUST)
