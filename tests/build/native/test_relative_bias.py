"""MPNet's biases by distance, against transformers' own function and table look-up."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import MPNetConfig
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from build.native.relative_bias import BUCKETS, biases_by_distance, buckets


def test_buckets_are_those_of_the_original():
    distances = np.arange(-20_000, 20_001)
    expected = MPNetEncoder.relative_position_bucket(torch.from_numpy(distances), num_buckets=BUCKETS)
    np.testing.assert_array_equal(buckets(distances), expected.numpy())


@given(st.integers(1, 300), st.sampled_from([32, 40]))
@settings(deadline=None, derandomize=True)
def test_biases_are_those_of_the_original(tokens: int, rows: int):
    config = MPNetConfig(
        num_attention_heads=3, hidden_size=12, num_hidden_layers=1, relative_attention_num_buckets=rows
    )
    encoder = MPNetEncoder(config)
    with torch.no_grad():
        expected = encoder.compute_position_bias(torch.zeros(1, tokens, 12))[0].numpy()
    biases = biases_by_distance(encoder.relative_attention_bias.weight.detach().numpy(), tokens)
    assert biases.shape == (3, 2 * tokens - 1)
    assert biases.flags.c_contiguous
    positions = np.arange(tokens)
    np.testing.assert_array_equal(biases[:, positions[None, :] - positions[:, None] + tokens - 1], expected)
