"""Which modules of a model attend to the tokens of a text, and which part of the model they are in."""

import re

from torch import nn
from transformers import PreTrainedModel

from stages.models.layouts import LAYOUTS, NO_ATTENTION, NOT_SELF_ATTENTION, Layout
from stages.pipeline.errors import UserError


def text_part(model: nn.Module) -> nn.Module:
    """Return the part of a model that reads text: without the towers for images and sound, and without a decoder.

    Of an encoder-decoder it is the encoder, to which the text is given.

    Raises
    ------
    UserError
        As `find_attentions`, and if that part does not read tokens.
    """
    first = find_attentions(model)[0][0]
    parents = [".".join(first.split(".")[:depth]) for depth in range(first.count("."), -1, -1)]
    part = next(p for p in map(model.get_submodule, parents) if isinstance(p, PreTrainedModel))
    if part.main_input_name != "input_ids":
        raise UserError(f"model.name: {type(part).__name__} reads {part.main_input_name}, not the tokens of a text")
    return part


def find_attentions(model: nn.Module) -> list[tuple[str, nn.Module, Layout]]:
    """List the self-attentions over a text's tokens, in the order of the layers.

    Returns
    -------
    list of tuple
        Path, module and layout.

    Raises
    ------
    UserError
        If there are none whose modules are known, or in several stacks of layers; the message says why.
    """
    types = getattr(model.config.get_text_config(), "layer_types", None) or []
    named = [(path, module) for path, module in model.named_modules() if re.search("[Aa]tt|MLA", type(module).__name__)]
    named = [(path, module) for path, module in named if re.search(r"\d", path)]
    named = [(path, module) for path, module in named if not re.search(NOT_SELF_ATTENTION, path)]
    found = [(path, module, layout) for path, module in named if (layout := _layout(module))]
    if not found:
        raise UserError(f"model.name: {_why_none(model, named)}")
    stacks: dict[str, list[tuple[str, nn.Module, Layout]]] = {}
    for path, module, layout in found:
        stacks.setdefault(re.split(r"\d", path)[0].rstrip("."), []).append((path, module, layout))
    if len(stacks) > 1:  # of an encoder and a decoder, the encoder
        stacks = {path: stack for path, stack in stacks.items() if "decoder" not in path} or stacks
    if len(stacks) > 1:
        raise UserError(
            f"model.name: {type(model).__name__} has several stacks of layers ({', '.join(stacks)}), which are not one "
            "sequence of layers over the tokens of the text"
        )
    (stack,) = stacks.values()

    def attends(path: str) -> bool:
        number = int(re.search(r"\d+", path)[0])
        return number >= len(types) or not re.search(NO_ATTENTION, types[number])

    stack = [entry for entry in stack if attends(entry[0])]
    if not stack:
        kinds = ", ".join(sorted(set(types)))
        raise UserError(f"model.name: none of the layers of {type(model).__name__} attends ({kinds})")
    return stack


def _layout(attention: nn.Module) -> Layout | None:
    """Find the layout whose modules an attention has."""
    for layout in LAYOUTS:
        names = [*layout.modules.values(), *filter(None, [layout.source])]
        if type(attention).__name__.startswith(layout.only) and all(
            isinstance(getattr(attention, name, None), nn.Module) for name in names
        ):
            return layout
    return None


def _why_none(model: nn.Module, named: list[tuple[str, nn.Module]]) -> str:
    """Say why a model's attention cannot be captured."""
    if not named:
        blocks = {type(block).__name__ for m in model.modules() if isinstance(m, nn.ModuleList) for block in m}
        return f"{type(model).__name__} has no attention in its layers ({', '.join(sorted(blocks)[:3]) or 'none'})"
    attention = max((module for _, module in named), key=lambda module: len(list(module.children())))
    children = ", ".join(name for name, _ in attention.named_children()) or "no module"
    return (
        f"{type(attention).__name__} makes no query, key and value of one input with linear modules known here "
        f"(it has {children})"
    )
