"""A GPT with attention code of its own, which neither transformers' interface nor products of batches show at work."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class OwnConfig(PreTrainedConfig):
    model_type = "own_gpt"

    def __init__(self, watched: bool = False, **sizes: Any) -> None:
        self.watched = watched
        self.hidden_size, self.num_attention_heads, self.num_hidden_layers, self.vocab_size = 32, 4, 2, 300
        super().__init__(**sizes)


class OwnAttention(nn.Module):
    """Causal attention, head by head with plain matrix products, or with torch's function."""

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        self.config, width = config, config.hidden_size
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (nn.Linear(width, width) for _ in "qkvo")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part(x).unflatten(-1, (self.config.num_attention_heads, -1)).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.config.watched:
            made = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            rows = [self._head(*parts) for parts in zip(*(part.flatten(0, 1) for part in (q, k, v)), strict=True)]
            made = torch.stack(rows).view_as(q)
        return self.o_proj(made.transpose(1, 2).flatten(-2))

    def _head(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        hidden = torch.ones(len(q), len(q)).triu(1).bool()
        return (q.mm(k.T) / q.shape[-1] ** 0.5).masked_fill(hidden, -torch.inf).softmax(-1).mm(v)


class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    _no_split_modules = ()

    def __init__(self, config: OwnConfig) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"norm": nn.LayerNorm(config.hidden_size), "self_attn": OwnAttention(config)})
            for _ in range(config.num_hidden_layers)
        )
        self.post_init()

    def forward(self, input_ids: torch.Tensor, **_: Any) -> BaseModelOutput:
        x = self.embed(input_ids)
        for layer in self.layers:
            x = x + layer["self_attn"](layer["norm"](x))
        return BaseModelOutput(last_hidden_state=x)
