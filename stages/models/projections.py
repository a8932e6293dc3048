"""Where each architecture computes its queries, keys and values.

What is caught is the projection's own output: before rotary embedding and before any normalisation of queries or keys,
as one row of units a token, head after head.
"""

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from accelerate.utils import align_module_device
from torch import nn

from stages.pipeline.errors import UserError


@dataclass(frozen=True)
class Family:
    """How an architecture lays out its attention.

    Attributes
    ----------
    layers : str
        Where the base model keeps its list of layers.
    attention : str
        Where a layer keeps its attention.
    modules : tuple of str
        The projection: three modules for q, k and v, or one that is fused.
    interleaved : bool
        How a fused output divides. False: [q | k | v]. True: by key/value head, [its queries | its key | its value].
    causal : bool
        Whether a token sees only what stands before it.
    """

    layers: str
    attention: str
    modules: tuple[str, ...]
    interleaved: bool = False
    causal: bool = True


_THREE = ("q_proj", "k_proj", "v_proj")
_LLAMA = Family("layers", "self_attn", _THREE)
_BERT = Family("encoder.layer", "attention.self", ("query", "key", "value"), causal=False)

#: By config.model_type.
FAMILIES: dict[str, Family] = {
    "gpt2": Family("h", "attn", ("c_attn",)),
    "gpt_bigcode": Family("h", "attn", ("c_attn",), interleaved=True),
    "gpt_neox": Family("layers", "attention", ("query_key_value",), interleaved=True),
    "bloom": Family("h", "self_attention", ("query_key_value",), interleaved=True),
    "falcon": Family("h", "self_attention", ("query_key_value",), interleaved=True),
    "opt": Family("decoder.layers", "self_attn", _THREE),
    "gptj": Family("h", "attn", _THREE),
    "gpt_neo": Family("h", "attn.attention", _THREE),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "olmo2", "phi"), _LLAMA),
    "gemma3": Family("language_model.layers", "self_attn", _THREE),
    "phi3": Family("layers", "self_attn", ("qkv_proj",)),
    "bert": _BERT,
    "roberta": _BERT,
    "distilbert": Family("transformer.layer", "attention", ("q_lin", "k_lin", "v_lin"), causal=False),
    "modernbert": Family("layers", "attn", ("Wqkv",), causal=False),
}


@dataclass(frozen=True)
class Projection:
    """One layer's projection to Q, K and V.

    Attributes
    ----------
    modules : dict of str to torch.nn.Module
        ``{"qkv": fused}`` or ``{"q": ..., "k": ..., "v": ...}``; each takes x, the input of the attention.
    heads, kv_heads : int
        Query heads, and key/value heads (fewer under grouped-query and multi-query attention).
    interleaved : bool
        As in `Family`.
    """

    modules: dict[str, nn.Module]
    heads: int
    kv_heads: int
    interleaved: bool

    @property
    def widths(self) -> dict[str, int]:
        """Units of "q", "k" and "v"."""
        if "qkv" not in self.modules:
            return {name: _units(module) for name, module in self.modules.items()}
        dim = _units(self.modules["qkv"]) // (self.heads + 2 * self.kv_heads)
        return {"q": self.heads * dim, "k": self.kv_heads * dim, "v": self.kv_heads * dim}

    @property
    def width_in(self) -> int:
        """Units of x."""
        first = next(iter(self.modules.values()))
        return first.nx if hasattr(first, "nx") else first.in_features

    def split(self, name: str, output: torch.Tensor) -> dict[str, torch.Tensor]:
        """Divide what a module gives, shape (..., units), into "q", "k" and "v", or name the one that it is."""
        if name != "qkv":
            return {name: output}
        if not self.interleaved:
            return dict(zip("qkv", output.split(list(self.widths.values()), dim=-1), strict=True))
        grouped = output.unflatten(-1, (self.kv_heads, self.heads // self.kv_heads + 2, -1))
        parts = {"q": grouped[..., :-2, :], "k": grouped[..., -2:-1, :], "v": grouped[..., -1:, :]}
        return {part: values.flatten(-3) for part, values in parts.items()}

    @property
    def biased(self) -> list[str]:
        """Which of "q", "k" and "v" have a bias."""
        biases = {name: module.bias for name, module in self.modules.items() if module.bias is not None}
        return [part for name, bias in biases.items() for part in self.split(name, bias)]

    def bias(self) -> dict[str, torch.Tensor]:
        """Give the bias of "q", "k" and "v", shape (units,), where the projection has one."""
        found: dict[str, torch.Tensor] = {}
        for name, module in self.modules.items():
            if module.bias is not None:
                with align_module_device(module):  # brings offloaded weights in, for the moment
                    found |= self.split(name, module.bias.detach().clone())
        return found


def find_family(config: Any) -> Family:
    """Look an architecture up in `FAMILIES`.

    Raises
    ------
    UserError
        If it is unknown; the message names the known ones.
    """
    if config.model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UserError(f"model.name: the architecture {config.model_type!r} is not known here; known: {known}")
    return FAMILIES[config.model_type]


def find_projections(model: nn.Module) -> list[Projection]:
    """Find the Q, K and V projection of every layer of a transformers base model, layer 0 first.

    Raises
    ------
    UserError
        If the architecture is unknown.
    """
    family, config = find_family(model.config), model.config.get_text_config()
    heads = config.num_attention_heads
    found = []
    for layer in attrgetter(family.layers)(model):
        attention = attrgetter(family.attention)(layer)
        modules = [getattr(attention, name) for name in family.modules]
        if len(modules) == 1:
            # By widths, not by the many names under which configurations keep the number of key/value heads.
            dim = getattr(config, "head_dim", None) or config.hidden_size // heads
            kv_heads = (_units(modules[0]) // dim - heads) // 2
            named = {"qkv": modules[0]}
        else:
            named = dict(zip("qkv", modules, strict=True))
            kv_heads = _units(named["k"]) // (_units(named["q"]) // heads)
        found.append(Projection(named, heads, kv_heads, family.interleaved))
    return found


def _units(module: nn.Module) -> int:
    """Count the units that a linear module gives; GPT-2's Conv1D keeps its weight transposed."""
    return module.nf if hasattr(module, "nf") else module.out_features
