"""What the structure of a model cannot tell: the order inside a projection's output, one line a layout."""

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Layout:
    """How an attention names the linear modules that make queries, keys and values, and what each of them gives."""

    modules: dict[str, str]  # what a module gives ("q", "k", "v", "kv" or "qkv") → its name in the attention
    order: str = "separate"  # how a fused output divides, as `columns` reads it
    only: str = ""  # how the attention's class name begins, where the modules' names alone do not tell
    source: str = ""  # the module that reads x, where those of `modules` read something that was made of x
    #: "q", "k" or "v" → the parameter that the attention itself adds to what the modules give.
    biases: dict[str, str] = field(default_factory=dict)


#: The names under which attentions keep three modules.
_SEPARATE = (
    *(("q_proj", "k_proj", "v_proj"), ("query", "key", "value"), ("q_lin", "k_lin", "v_lin")),
    *(("query_proj", "key_proj", "value_proj"), ("project_q", "project_k", "project_v")),
    *(("q_head", "k_head", "v_head"), ("Wq", "Wk", "Wv"), ("q", "k", "v")),
)
#: The first that fits counts.
LAYOUTS = (
    *(Layout(dict(zip("qkv", names, strict=True))) for names in _SEPARATE),
    Layout({"qkv": "c_attn"}, "by key head", only="GPTBigCode"),
    Layout({"qkv": "c_attn"}, "blocks"),
    Layout({"qkv": "qkv_proj"}, "quarters of q, v, k", only="CodeGen"),
    Layout({"qkv": "qkv_proj"}, "blocks"),
    Layout({"qkv": "query_key_value"}, "by key head"),
    Layout({"qkv": "Wqkv"}, "blocks"),
    Layout({"qkv": "in_proj"}, "by key head", only="Disentangled", biases={"q": "q_bias", "v": "v_bias"}),
    # Multi-head latent attention: keys and values are expanded from a few shared numbers.
    *(
        Layout({"q": q, "kv": "kv_b_proj"}, "latent", source="kv_a_proj_with_mqa")
        for q in ("q_b_proj", "q_gate_proj", "q_proj")
    ),
)

#: Names in a module's path: what is no self-attention over the text's tokens.
NOT_SELF_ATTENTION = (
    r"cross|encoder_attn|EncDec|indexer|\bmtp|linear_attn|vision|visual|image|img|audio|speech|video"
    r"|depth_decoder|vqmodel"
)
#: `config.layer_types` of layers without softmax attention, whatever their modules are called.
NO_ATTENTION = r"linear|conv|mamba|recurrent|moe|mlp|rwkv"


def columns(
    layout: Layout, units: dict[str, int], heads: int, kv_heads: int, size: int
) -> dict[str, dict[str, torch.Tensor]]:
    """Return which units of each module's output, so many `units` wide, are the queries', the keys' and the values'.

    Under latent attention `size`, the units of a query head, are those that its head alone makes: the others are
    rotated, and all heads share them in their keys.
    """
    every = {name: torch.arange(width) for name, width in units.items()}
    if "q" in units and units["q"] > heads * size:  # a gate stands behind each head's query, or rotated units
        every["q"] = every["q"].view(heads, -1)[:, :size].flatten()
    match layout.order:
        case "blocks":
            return {"qkv": dict(zip("qkv", every["qkv"].split([heads * size, *[kv_heads * size] * 2]), strict=True))}
        case "by key head":
            of = every["qkv"].view(kv_heads, heads // kv_heads + 2, size)
            return {"qkv": {"q": of[:, :-2].flatten(), "k": of[:, -2].flatten(), "v": of[:, -1].flatten()}}
        case "quarters of q, v, k":
            of = every["qkv"].view(4, 3, -1)
            return {"qkv": {part: of[:, place].flatten() for place, part in enumerate("qvk")}}
        case "latent":
            of = every["kv"].view(kv_heads, -1)
            return {"q": {"q": every["q"]}, "kv": {"k": of[:, :size].flatten(), "v": of[:, size:].flatten()}}
        case _:
            return {part: {part: own} for part, own in every.items()}
