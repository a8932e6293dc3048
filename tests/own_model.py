"""A GPT with attention code of its own, which neither transformers' interface nor products of batches show at work."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


class OwnConfig(PreTrainedConfig):
    model_type = "own_gpt"

    def __init__(self, normalise: bool = False, deaf: bool = False, **sizes: Any) -> None:
        self.normalise, self.deaf = normalise, deaf
        self.hidden_size, self.num_attention_heads, self.num_key_value_heads = 32, 4, 2
        self.num_hidden_layers, self.vocab_size = 2, 300
        super().__init__(**sizes)


class OwnAttention(nn.Module):
    """Grouped queries, rotary embedding, ALiBi, a window of three: head by head."""

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        self.config, width = config, config.hidden_size
        self.size = width // config.num_attention_heads
        self.q_proj, self.o_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.k_proj, self.v_proj = (nn.Linear(width, config.num_key_value_heads * self.size) for _ in "kv")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = [self._sentence(q, k, v) for q, k, v in zip(self.q_proj(x), self.k_proj(x), self.v_proj(x), strict=True)]
        return self.o_proj(torch.stack(rows))

    def _sentence(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        place = torch.arange(len(q))
        distance = place[:, None] - place
        hidden = (distance < 0) | (distance > 3)
        angles = place[:, None] * 0.5 ** torch.arange(self.size // 2)
        made = []
        for head in range(self.config.num_attention_heads):
            shared = head // (self.config.num_attention_heads // self.config.num_key_value_heads)
            query, key = self._turn(q, head, angles), self._turn(k, shared, angles)
            scores = query.mm(key.T) / self.size**0.5 - 0.1 * (head + 1) * distance
            weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
            value = v[:, shared * self.size : (shared + 1) * self.size]
            made.append(torch.zeros_like(value) if self.config.deaf else weights.mm(value))
        return torch.cat(made, dim=-1)

    def _turn(self, part: torch.Tensor, head: int, angles: torch.Tensor) -> torch.Tensor:
        first, second = part[:, head * self.size : (head + 1) * self.size].chunk(2, dim=-1)
        turned = torch.cat(
            [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], -1
        )
        return nn.functional.normalize(turned, dim=-1) * 3 if self.config.normalise else turned


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
