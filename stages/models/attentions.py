"""Which modules of a model attend to the tokens of a text, and which part of the model they are in."""

import inspect
import re

import torch
from torch import nn
from transformers import PreTrainedModel

from stages.models.layouts import LAYOUTS, NO_ATTENTION, NOT_SELF_ATTENTION, Layout
from stages.pipeline import messages
from stages.pipeline.errors import UserError


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
    if len(stacks) > 1:  # of an encoder and a decoder, one
        decoder = isinstance(model, Decoder)
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
