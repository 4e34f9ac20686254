"""A small encoder with rotary positions and gated feed-forwards, for models which bring their own code."""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from .configuration_hf_nomic_bert import NomicBertConfig


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.n_embd)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.n_embd)

    def forward(self, input_ids, token_type_ids):
        return self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)


class Attention(nn.Module):
    """Self-attention whose queries and keys are turned by an angle that grows with their position."""

    def __init__(self, config):
        super().__init__()
        self.heads, self.width, self.base = config.n_head, config.n_embd // config.n_head, config.rotary_emb_base
        self.Wqkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.out_proj = nn.Linear(config.n_embd, config.n_embd, bias=False)

    def turn(self, vectors, position_ids):
        """(batch, heads, tokens, width): the halves of each vector are the two coordinates of its planes."""
        half = self.width // 2
        steps = torch.arange(half, dtype=torch.float32, device=vectors.device)
        angles = position_ids[:, None, :, None].float() * self.base ** (-steps / half)
        cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
        first, second = vectors[..., :half], vectors[..., half:]
        return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)

    def forward(self, states, blocked, position_ids):
        batch, tokens, hidden = states.shape
        parts = self.Wqkv(states).view(batch, tokens, 3, self.heads, self.width).permute(2, 0, 3, 1, 4)
        queries, keys, values = self.turn(parts[0], position_ids), self.turn(parts[1], position_ids), parts[2]
        scores = queries @ keys.transpose(-1, -2) / self.width**0.5 + blocked
        mixed = scores.softmax(dim=-1) @ values
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, tokens, hidden))


class GatedFeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.fc11 = nn.Linear(config.n_embd, config.n_inner, bias=False)
        self.fc12 = nn.Linear(config.n_embd, config.n_inner, bias=False)
        self.fc2 = nn.Linear(config.n_inner, config.n_embd, bias=False)

    def forward(self, states):
        return self.fc2(self.fc11(states) * nn.functional.silu(self.fc12(states)))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.attn, self.mlp = Attention(config), GatedFeedForward(config)
        self.norm1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.norm2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)

    def forward(self, states, blocked, position_ids):
        states = self.norm1(states + self.attn(states, blocked, position_ids))
        return self.norm2(states + self.mlp(states))


class NomicBertModel(PreTrainedModel):
    config_class = NomicBertConfig
    base_model_prefix = "model"

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = Embeddings(config)
        self.emb_ln = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.layers = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.post_init()

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.data.normal_(std=self.config.initializer_range)

    def forward(
        self,
        input_ids,
        attention_mask=None,
        token_type_ids=None,
        position_ids=None,
        return_dict=None,
        **kwargs,
    ):
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        if position_ids is None:
            position_ids = torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)
        states = self.emb_ln(self.embeddings(input_ids, token_type_ids))
        blocked = (1 - attention_mask[:, None, None, :].to(states.dtype)) * torch.finfo(states.dtype).min
        for layer in self.layers:
            states = layer(states, blocked, position_ids)
        return BaseModelOutput(last_hidden_state=states)
