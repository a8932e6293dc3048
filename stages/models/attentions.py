"""Finding the attention of a model: the modules that attend to a text, their outputs, and the part they are in."""

import inspect
import re
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import PreTrainedModel

from stages.pipeline import messages
from stages.pipeline.errors import UserError


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


class Decoder(nn.Module):
    """An encoder-decoder whose decoder reads the text that its encoder reads, as if to repeat it.

    Its text begins with the token `start`, if the configuration names one: the encoder is not given it.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model, self.config = model, model.config
        self.start = getattr(model.config, "decoder_start_token_id", None)

    device = property(lambda self: self.model.device, doc="Where it runs.")
    dtype = property(lambda self: self.model.dtype, doc="What it computes in.")

    def get_input_embeddings(self) -> nn.Module:
        """Return the decoder's."""
        return self.model.get_decoder().get_input_embeddings()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, use_cache: bool = False):
        """Run both on the decoder's tokens."""
        text = slice(0 if self.start is None else 1, None)
        return self.model(
            input_ids=input_ids[:, text],
            attention_mask=None if attention_mask is None else attention_mask[:, text],
            decoder_input_ids=input_ids,
            decoder_attention_mask=attention_mask,
            use_cache=use_cache,
        )


def text_part(model: nn.Module, part: str = "encoder") -> nn.Module:
    """Return the part of a model that reads text, without the towers for images and sound.

    Of an encoder-decoder it is the encoder, to which the text is given, or, for the decoder, both.

    Raises
    ------
    UserError
        As `find_attentions`, and if that part does not read tokens.
    """
    both = part == "decoder" and "decoder_input_ids" in inspect.signature(model.forward).parameters
    reader = model if both else around(model, find_attentions(model)[0][0])
    if reader.main_input_name != "input_ids":
        raise UserError(messages.NO_TEXT_READ.format(type(reader).__name__, reader.main_input_name))
    return Decoder(reader) if both else reader


def around(model: nn.Module, path: str) -> PreTrainedModel:
    """Return the innermost transformers model that a module is in."""
    parents = [".".join(path.split(".")[:depth]) for depth in range(path.count("."), -1, -1)]
    return next(p for p in map(model.get_submodule, parents) if isinstance(p, PreTrainedModel))


def find_attentions(model: nn.Module) -> list[tuple[str, nn.Module, Layout]]:
    """List the self-attentions over a text's tokens, in the order of the layers: path, module and layout.

    Raises
    ------
    UserError
        If there are none whose modules are known, or in several stacks of layers; the message says why.
    """
    named = [
        (path, module)
        for path, module in model.named_modules()
        if re.search("[Aa]tt|MLA", type(module).__name__)
        and re.search(r"\d", path)
        and not re.search(NOT_SELF_ATTENTION, path)
    ]
    stacks: dict[str, list[tuple[str, nn.Module, Layout]]] = {}
    for path, module in named:
        if layout := next((layout for layout in LAYOUTS if _fits(layout, module)), None):
            stacks.setdefault(re.split(r"\d", path)[0].rstrip("."), []).append((path, module, layout))
    if not stacks:
        raise UserError(f"model.name: {_why_none(model, named)}")
    decoder = isinstance(model, Decoder)  # of an encoder and a decoder, one
    stacks = {path: stack for path, stack in stacks.items() if ("decoder" in path) == decoder} or stacks
    if len(stacks) > 1:
        raise UserError(messages.SEVERAL_STACKS.format(type(model).__name__, ", ".join(stacks)))
    (stack,) = stacks.values()
    types = dict(enumerate(getattr(model.config.get_text_config(), "layer_types", None) or []))
    attends = [
        entry for entry in stack if not re.search(NO_ATTENTION, types.get(int(re.search(r"\d+", entry[0])[0]), ""))
    ]
    if not attends:
        kinds = ", ".join(sorted(set(types.values())))
        raise UserError(messages.NONE_ATTENDS.format(type(model).__name__, kinds))
    return attends


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


def _fits(layout: Layout, attention: nn.Module) -> bool:
    """Return whether an attention has the modules that a layout names."""
    names = [*layout.modules.values(), *filter(None, [layout.source])]
    modules = (getattr(attention, name, None) for name in names)
    return type(attention).__name__.startswith(layout.only) and all(isinstance(m, nn.Module) for m in modules)


def _why_none(model: nn.Module, named: list[tuple[str, nn.Module]]) -> str:
    if not named:
        blocks = {type(block).__name__ for m in model.modules() if isinstance(m, nn.ModuleList) for block in m}
        return messages.NO_ATTENTION.format(type(model).__name__, ", ".join(sorted(blocks)[:3]) or "none")
    attention = max((module for _, module in named), key=lambda module: len(list(module.children())))
    children = ", ".join(name for name, _ in attention.named_children()) or "no module"
    return messages.UNKNOWN_ATTENTION.format(type(attention).__name__, children)
